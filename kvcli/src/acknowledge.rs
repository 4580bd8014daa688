//! `acknowledge-repair STORE_ID`: somebody knows what a repair left out.

use kvproto::v1;
use tokio::time::timeout;

use crate::{
    connect,
    failure::{Exit, Failure, Refusal},
    settings::Settings,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of the new store, as `kvd repair` and `status` tell it
    #[arg(value_name = "STORE_ID")]
    store_id: String,
}

/// Prints nothing: `status` says repaired no more.
pub(crate) async fn run(settings: &Settings, args: Args) -> Result<Exit, Failure> {
    let mut caller = connect::connect(settings).await?;
    let request = v1::AcknowledgeRepairRequest {
        store_id: args.store_id,
    };
    let late = |_| Failure::Undecided("no answer within --timeout; it can be asked again".into());
    let done = timeout(settings.timeout, caller.admin.acknowledge_repair(request)).await;
    done.map_err(late)?
        .map_err(|status| Failure::from_refusal(Refusal::from_status(&status)))?;
    Ok(Exit::Success)
}
