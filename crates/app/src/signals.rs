//! Signals: a process that is asked to stop does so in good order the first
//! time, and at once the second.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for signals on behalf of a process.
pub(crate) struct Stop {
    asked: Receiver<()>,
}

/// What a shell shows for a program that was interrupted.
const INTERRUPTED: i32 = 128 + SIGINT;

impl Stop {
    /// From now on the process does not die of these signals.
    pub(crate) fn listen() -> Result<Stop, String> {
        let mut signals =
            Signals::new([SIGINT, SIGTERM]).map_err(|error| format!("cannot listen to signals: {error}"))?;
        let (tell, asked) = channel();
        let listen = move || {
            for (nth, _) in signals.forever().enumerate() {
                if nth > 0 {
                    std::process::exit(INTERRUPTED);
                }
                let _ = tell.send(());
            }
        };
        let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
        thread.map_err(|error| format!("there is no thread to listen to signals: {error}"))?;
        Ok(Stop { asked })
    }

    /// Whether the process is asked to stop.
    pub(crate) fn is_asked(&self) -> bool {
        self.asked.try_recv().is_ok()
    }

    /// Waits until the process is asked to stop, or something else is over, which is looked at now and then.
    pub(crate) fn wait(&self, is_over: impl Fn() -> bool) {
        while !is_over() {
            match self.asked.recv_timeout(Duration::from_millis(100)) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
