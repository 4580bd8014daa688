//! kvcore behind the seam.
