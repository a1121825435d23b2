//! Signals: a process that is asked to stop does so in good order the first
//! time, and at once the second. One that can read its configuration again does
//! so when it hears a hangup.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for signals on behalf of a process.
pub(crate) struct Stop {
    asked: Receiver<Asked>,
}

/// What a process is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// What a shell shows for a program that was interrupted.
const INTERRUPTED: i32 = 128 + SIGINT;

impl Stop {
    /// From now on the process does not die of the signals that ask it to stop.
    pub(crate) fn listen() -> Result<Stop, String> {
        Stop::listen_to(&[SIGINT, SIGTERM])
    }

    /// Nor of a hangup, by which it is asked to read again what it was told.
    pub(crate) fn listen_to_hangups_too() -> Result<Stop, String> {
        Stop::listen_to(&[SIGINT, SIGTERM, SIGHUP])
    }

    fn listen_to(which: &[i32]) -> Result<Stop, String> {
        let mut signals = Signals::new(which).map_err(|error| format!("cannot listen to signals: {error}"))?;
        let (tell, asked) = channel();
        let listen = move || {
            let mut is_stopping = false;
            for signal in signals.forever() {
                let asked = if signal == SIGHUP { Asked::Reload } else { Asked::Stop };
                if asked == Asked::Stop && std::mem::replace(&mut is_stopping, true) {
                    std::process::exit(INTERRUPTED);
                }
                let _ = tell.send(asked);
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
    pub(crate) fn wait(&self, mut is_over: impl FnMut() -> bool) {
        self.wait_with(&mut (), |()| is_over(), |()| {});
    }

    /// The same, looking after something that is reloaded when that is asked for.
    pub(crate) fn wait_with<T>(
        &self,
        what: &mut T,
        mut is_over: impl FnMut(&T) -> bool,
        mut reload: impl FnMut(&mut T),
    ) {
        while !is_over(what) {
            match self.asked.recv_timeout(Duration::from_millis(100)) {
                Ok(Asked::Reload) => reload(what),
                Ok(Asked::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
