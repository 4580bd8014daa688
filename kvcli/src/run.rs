//! One command from the question to its printed answer, on the command line and
//! at the prompt alike.

use std::{
    cell::Cell,
    io::{self, Write as _},
};

use crate::{
    call::Caller,
    command::{Ask, Prepared, confirm, scan},
    connect,
    failure::{Exit, Failure, complain},
    output::Output,
    progress::Progress,
    settings::Settings,
};

/// Runs to the end or to Ctrl-C. What the runtime still holds then, such as a
/// read of standard input, is not waited for.
pub(crate) fn block_on(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::usage(format!("cannot start: {error}")))?;
    let end = runtime.block_on(work);
    runtime.shutdown_background();
    end
}

/// A command line.
pub(crate) async fn one_shot(
    settings: &Settings,
    prepared: Prepared,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let interrupted = prepared.interrupted();
    let asked = Cell::new(false);
    let work = async {
        let mut caller = connect::connect(settings).await?;
        if !confirm::ask(&prepared, &mut caller).await? {
            return Ok(Exit::Negative);
        }
        asked.set(true);
        ask_and_print(&mut caller, prepared, output).await
    };
    tokio::select! {
        end = work => end,
        interrupt = tokio::signal::ctrl_c() => {
            interrupt.map_err(|error| Failure::usage(format!("cannot wait for Ctrl-C: {error}")))?;
            let open = if asked.get() { interrupted } else { ": nothing was sent" };
            Err(Failure::Interrupted(open.to_owned()))
        }
    }
}

/// Asks, and shows on a terminal how long that already takes.
pub(crate) async fn ask_and_print(
    caller: &mut Caller,
    prepared: Prepared,
    output: &mut Output,
) -> Result<Exit, Failure> {
    if let Ask::Scan(request) = &prepared.ask {
        scan::print(caller, request, output).await?;
        output.flush()?;
        return Ok(Exit::Success);
    }
    let mut progress = Progress::of_wait();
    let answer = progress.during(caller.call(&prepared)).await?;
    let report = prepared.pending.read(answer)?;
    output.print(report.as_ref())?;
    output.flush()?;
    for problem in report.problems() {
        complain(&problem);
    }
    // Flushed so that it stands after what a terminal shows of the data.
    let _ = io::stderr().flush();
    Ok(report.exit())
}
