//! Growable buffers that frames are appended to.

use bytes::BytesMut;

/// A byte buffer that grows at its end: `Vec<u8>` or [`BytesMut`]. Sealed: these two are all there are.
pub trait FrameBuf: sealed::Sealed {
    /// Bytes in the buffer.
    #[doc(hidden)]
    fn length(&self) -> usize;
    /// Makes room for `additional` more bytes.
    #[doc(hidden)]
    fn make_room(&mut self, additional: usize);
    /// Appends `bytes`.
    #[doc(hidden)]
    fn append(&mut self, bytes: &[u8]);
    /// Drops everything behind the first `length` bytes.
    #[doc(hidden)]
    fn cut(&mut self, length: usize);
    /// All bytes.
    #[doc(hidden)]
    fn bytes_mut(&mut self) -> &mut [u8];
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for Vec<u8> {}
    impl Sealed for bytes::BytesMut {}
}

macro_rules! frame_buf {
    ($buffer:ty) => {
        impl FrameBuf for $buffer {
            #[inline]
            fn length(&self) -> usize {
                self.len()
            }
            #[inline]
            fn make_room(&mut self, additional: usize) {
                self.reserve(additional);
            }
            #[inline]
            fn append(&mut self, bytes: &[u8]) {
                self.extend_from_slice(bytes);
            }
            #[inline]
            fn cut(&mut self, length: usize) {
                self.truncate(length);
            }
            #[inline]
            fn bytes_mut(&mut self) -> &mut [u8] {
                self
            }
        }
    };
}

frame_buf!(Vec<u8>);
frame_buf!(BytesMut);
