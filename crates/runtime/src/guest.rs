//! [`Guest`]: somebody who was let in at the door and has said who calls and
//! whom. A replica takes it in, or tells it why not.

use std::io::Write;

use skein_machine::wire::Version;

use crate::frame::{FrameReader, FrameWriter};
use crate::hello::{self, Answer, Hello};
use crate::tls::Session;

/// A connection on its way from the door to its replica.
pub struct Guest {
    pub(crate) stream: std::net::TcpStream,
    /// What encrypts, where nothing is said in the clear.
    pub(crate) session: Option<Session>,
    pub(crate) hello: Hello,
    pub(crate) version: Version,
    /// What was read behind the hello.
    pub(crate) rest: FrameReader,
}

impl Guest {
    /// Sends it away with a sentence.
    pub(crate) fn refuse(mut self, why: String) {
        refuse(&mut self.stream, self.session.as_mut(), why);
    }
}

/// Sends somebody away with a sentence, which is written down here too.
pub(crate) fn refuse(stream: &mut impl Write, session: Option<&mut Session>, why: String) {
    tracing::warn!(why, "refused a connection");
    tell(stream, session, why);
}

/// Tells somebody why not. If the socket does not take the few bytes at once, it does not matter.
pub(crate) fn tell(stream: &mut impl Write, session: Option<&mut Session>, why: String) {
    let mut writer = FrameWriter::new();
    writer.message(|buffer| buffer.extend_from_slice(&hello::to_bytes(&Answer::refused(why))));
    let bytes = writer.finish();
    if session.is_none_or(|session| session.seal(bytes).is_ok()) {
        let _ = stream.write(bytes);
    }
}
