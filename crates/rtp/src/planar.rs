/// Audio with one slice of samples per channel, to read from.
pub trait Planar {
    /// The samples of channel `index`, counted from 0; `None` when nothing is linked there.
    fn channel(&self, index: usize) -> Option<&[f32]>;
}

/// Audio with one slice of samples per channel, to write into.
pub trait PlanarMut {
    /// The samples of channel `index`, counted from 0; `None` when nothing is linked there.
    fn channel_mut(&mut self, index: usize) -> Option<&mut [f32]>;
}

impl<T: AsRef<[f32]>> Planar for [T] {
    fn channel(&self, index: usize) -> Option<&[f32]> {
        self.get(index).map(AsRef::as_ref)
    }
}

impl<T: AsMut<[f32]>> PlanarMut for [T] {
    fn channel_mut(&mut self, index: usize) -> Option<&mut [f32]> {
        self.get_mut(index).map(AsMut::as_mut)
    }
}

impl<T: AsRef<[f32]>, const CHANNELS: usize> Planar for [T; CHANNELS] {
    fn channel(&self, index: usize) -> Option<&[f32]> {
        self.get(index).map(AsRef::as_ref)
    }
}

impl<T: AsMut<[f32]>, const CHANNELS: usize> PlanarMut for [T; CHANNELS] {
    fn channel_mut(&mut self, index: usize) -> Option<&mut [f32]> {
        self.get_mut(index).map(AsMut::as_mut)
    }
}
