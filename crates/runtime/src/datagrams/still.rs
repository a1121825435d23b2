//! [`still`]: a machine that nobody talks to, and for which no time passes, on
//! a thread of its own. It is for whoever tries out what stands around a
//! machine. It has no socket and no timers: what its machine wants said or waited
//! for is dropped.

use std::net::SocketAddr;
use std::sync::Arc;

use skein_machine::{Effect, Machine, Out, Time};

use super::ground::{Ground, Security};
use super::handle::{Call, Handle};
use super::seal::{Key, Keys};

/// The way to a machine that stands still at this time. It is made on its thread, ends when nobody holds the way to it
/// any more, and what it says to commands is told to `tell` first, and then to whoever commanded.
pub fn still<M: Machine + 'static>(
    now: Time,
    make: impl FnOnce() -> M + Send + 'static,
    mut tell: impl FnMut(&M, &M::Event) + Send + 'static,
) -> Handle<M>
where
    M::Command: Send,
{
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let keys = Keys::of(vec![Key::of_words("nobody")]).expect("one key is enough");
    let (handle, mut orders) = Handle::new(Arc::new(Ground::new(nowhere, Security::Keys(keys))));
    std::thread::spawn(move || {
        let (mut machine, mut out) = (make(), Out::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a thread can wait");
        let mut next = || {
            runtime.block_on(async {
                tokio::select! {
                    () = orders.stop.notified() => None,
                    call = orders.calls.recv() => call,
                }
            })
        };
        while let Some(call) = next() {
            match call {
                Call::Look(look) => look(&machine, now),
                Call::Command(command, then) => {
                    machine.on_command(now, command, &mut out);
                    machine.finish(now, &mut out);
                    let mut events = Vec::new();
                    for effect in out.drain() {
                        if let Effect::Emit(event) = effect {
                            tell(&machine, &event);
                            events.push(event);
                        }
                    }
                    then(&machine, now, &events);
                }
                Call::Secure(_) | Call::BeDeafTo(_) => {}
            }
        }
    });
    handle
}
