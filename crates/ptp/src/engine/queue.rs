/// A queue of at most `N`, below 128; what finds it full is lost and counted by the caller.
#[derive(Debug, Clone)]
pub(super) struct Queue<T, const N: usize> {
    places: [Option<T>; N],
    first: u8,
    length: u8,
}

impl<T: Copy, const N: usize> Queue<T, N> {
    pub(super) const fn new() -> Self {
        Self { places: [None; N], first: 0, length: 0 }
    }

    /// Appends `item`; says whether there was room.
    pub(super) fn push(&mut self, item: T) -> bool {
        if usize::from(self.length) == N {
            return false;
        }
        if let Some(place) = self.places.get_mut((usize::from(self.first) + usize::from(self.length)) % N) {
            *place = Some(item);
            self.length += 1;
        }
        true
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.places.get_mut(usize::from(self.first))?.take()?;
        self.first = (self.first + 1) % N as u8;
        self.length -= 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_keeps_what_it_has() {
        let mut queue = Queue::<u8, 3>::new();
        for round in 0..5 {
            for item in 0..4 {
                assert_eq!(queue.push(round + item), item < 3);
            }
            assert_eq!(
                [queue.pop(), queue.pop(), queue.pop(), queue.pop()],
                [Some(round), Some(round + 1), Some(round + 2), None]
            );
        }
    }
}
