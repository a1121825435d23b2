//! [`Window`]: a file that is read from front to back through a small buffer.
//! It never holds more of the file than was asked for at once, and no more
//! than the file has.

use std::io;
use std::sync::Arc;

use crate::files::OpenFile;

/// How much is read at once when less was asked for.
const READ_AHEAD: usize = 1 << 18;

/// A view of a part of a file.
pub(crate) struct Window {
    file: Arc<dyn OpenFile>,
    length: u64,
    /// Where the buffer begins in the file.
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    pub(crate) fn new(file: Arc<dyn OpenFile>) -> io::Result<Window> {
        let length = file.length()?;
        Ok(Window { file, length, start: 0, buffer: Vec::new() })
    }

    /// How long the file is.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// These bytes of the file, or as many of them as it has.
    pub(crate) fn at(&mut self, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let left = self.length.saturating_sub(offset);
        let wanted = wanted.min(usize::try_from(left).unwrap_or(usize::MAX));
        let is_inside = offset >= self.start && offset - self.start + wanted as u64 <= self.buffer.len() as u64;
        if !is_inside {
            let more = wanted.max(READ_AHEAD).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.buffer.resize(more, 0);
            let read = self.file.read_at(&mut self.buffer, offset)?;
            self.buffer.truncate(read);
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        // The file may have been cut since it was opened.
        let until = (from + wanted).min(self.buffer.len());
        Ok(&self.buffer[from.min(until)..until])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, Ram};
    use std::path::Path;

    #[test]
    fn it_shows_what_the_file_has() {
        let bytes: Vec<u8> = (0..READ_AHEAD * 2 + 100).map(|place| (place / 7) as u8).collect();
        let file = Ram::default().create(Path::new("a")).unwrap();
        file.write_at(&[&bytes], 0).unwrap();
        let mut window = Window::new(file).unwrap();
        let end = bytes.len();
        for (offset, wanted) in
            [(0, 3), (1, READ_AHEAD), (5, READ_AHEAD + 9), (2, 2), (end - 4, 9), (end, 1), (end + 9, 1)]
        {
            let expected = &bytes[offset.min(end)..(offset + wanted).min(end)];
            assert!(window.at(offset as u64, wanted).unwrap() == expected, "{wanted} at {offset}");
        }
        assert_eq!(window.at(0, usize::MAX).unwrap().len(), end);
    }
}
