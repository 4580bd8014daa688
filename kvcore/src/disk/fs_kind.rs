//! What the file system behind a descriptor can promise, told by its magic number.

use std::fs::File;
use std::io::Result;

use rustix::fs::fstatfs;

use super::traits::FsKind;

pub(super) fn fs_kind(file: &File) -> Result<FsKind> {
    // The numbers have 32 bits; the field is wider or signed on some architectures.
    let magic = fstatfs(file)?.f_type & 0xFFFF_FFFF;
    Ok(classify(u32::try_from(magic).unwrap_or_default()))
}

fn classify(magic: u32) -> FsKind {
    match magic {
        0x0102_1994 => FsKind::Volatile("tmpfs"),
        0x8584_58F6 => FsKind::Volatile("ramfs"),
        0x6969 => FsKind::Remote("nfs"),
        0x0102_1997 => FsKind::Remote("9p"),
        0x6573_5546 => FsKind::Remote("fuse"),
        0xFF53_4D42 => FsKind::Remote("cifs"),
        0xFE53_4D42 => FsKind::Remote("smb2"),
        0x00C3_6400 => FsKind::Remote("ceph"),
        0x5346_414F | 0x6B41_4653 => FsKind::Remote("afs"),
        0x0BD0_0BD0 => FsKind::Remote("lustre"),
        0x0116_1970 => FsKind::Remote("gfs2"),
        0xEF53 => FsKind::Local("ext4"),
        0x5846_5342 => FsKind::Local("xfs"),
        0x9123_683E => FsKind::Local("btrfs"),
        0x2FC1_2FC1 => FsKind::Local("zfs"),
        0xF2F5_2010 => FsKind::Local("f2fs"),
        0xCA45_1A4E => FsKind::Local("bcachefs"),
        0x794C_7630 => FsKind::Local("overlayfs"),
        _ => FsKind::Local("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_network_are_told_from_devices() {
        assert_eq!(classify(0x0102_1994), FsKind::Volatile("tmpfs"));
        assert_eq!(classify(0x6573_5546), FsKind::Remote("fuse"));
        assert_eq!(classify(0xEF53), FsKind::Local("ext4"));
        assert_eq!(classify(1), FsKind::Local("unknown"));
    }

    #[test]
    fn the_shared_memory_directory_is_volatile_where_there_is_one() {
        let Ok(dir) = File::open("/dev/shm") else {
            println!("skipped: no /dev/shm");
            return;
        };
        let kind = fs_kind(&dir).unwrap();
        assert!(matches!(kind, FsKind::Volatile(_)), "{kind:?}");
    }
}
