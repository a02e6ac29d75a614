//! Any two streams of bytes, however they are cut and mixed, must be told of the same by a dialogue.
//!
//! The input: a byte that seeds the cuts, then segments. Each begins with two bytes: the direction (the lowest
//! bit), whether the first command that begins in it is withheld (the second), and the length (the other fourteen).

use touchstone_wire::{Advance, Dialogue, Up};

/// A call without progress is due at most for an event that lies where another lay.
const STANDSTILLS_MAX: usize = 4;

/// Plays the input whole, byte by byte and in random pieces, and panics if something else is told.
pub fn check<D: Dialogue + Default>(input: &[u8]) {
    let Some((&seed, rest)) = input.split_first() else {
        return;
    };
    let whole = play::<D>(rest, |_| usize::MAX);
    assert_eq!(whole, play::<D>(rest, |_| 1), "byte by byte");
    let mut state = u64::from(seed) | 0x100;
    let random = play::<D>(rest, |left| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        1 + (state >> 33) as usize % left.min(40)
    });
    assert_eq!(whole, random, "in random pieces");
}

/// What is told, with its places, and the state after each segment.
fn play<D: Dialogue + Default>(
    mut input: &[u8],
    mut piece: impl FnMut(usize) -> usize,
) -> Vec<(u64, String)> {
    let mut player = Player::<D>::default();
    while let [low, high, rest @ ..] = input {
        let head = u16::from_le_bytes([*low, *high]);
        let (segment, more) = rest.split_at(rest.len().min(usize::from(head >> 2)));
        input = more;
        player.withholds = head & 2 != 0;
        player.segment(segment, head & 1 == 0, &mut piece);
    }
    player.told
}

#[derive(Default)]
struct Player<D> {
    dialogue: D,
    withholds: bool,
    up_offset: u64,
    down_offset: u64,
    told: Vec<(u64, String)>,
}

impl<D: Dialogue> Player<D> {
    fn segment(&mut self, mut rest: &[u8], is_up: bool, piece: &mut impl FnMut(usize) -> usize) {
        while !rest.is_empty() {
            let length = piece(rest.len()).min(rest.len());
            let (now, later) = rest.split_at(length);
            rest = later;
            if is_up { self.up(now) } else { self.down(now) }
        }
        let state = format!(
            "{:?} {:?} {}",
            self.dialogue.lost(),
            self.dialogue.oldest_pending(),
            self.dialogue.down_is_between()
        );
        self.told.push((0, state));
    }

    fn up(&mut self, mut rest: &[u8]) {
        let mut standstills = 0;
        loop {
            let Advance { consumed, event } = self.dialogue.up(rest);
            rest = progress(rest, consumed, &mut standstills);
            self.up_offset += consumed as u64;
            let Some(event) = event else { break };
            if let Up::Head(command) = &event
                && std::mem::take(&mut self.withholds)
            {
                self.dialogue.withhold(command.id);
            }
            self.told.push((self.up_offset, format!("{event:?}")));
        }
        assert!(rest.is_empty(), "without an event all is consumed");
    }

    fn down(&mut self, mut rest: &[u8]) {
        let mut standstills = 0;
        loop {
            let Advance { consumed, event } = self.dialogue.down(rest);
            rest = progress(rest, consumed, &mut standstills);
            self.down_offset += consumed as u64;
            let Some(event) = event else { break };
            self.told.push((self.down_offset, format!("{event:?}")));
        }
        assert!(rest.is_empty(), "without an event all is consumed");
    }
}

fn progress<'a>(rest: &'a [u8], consumed: usize, standstills: &mut usize) -> &'a [u8] {
    *standstills = if consumed == 0 { *standstills + 1 } else { 0 };
    assert!(*standstills < STANDSTILLS_MAX, "it gets on");
    &rest[consumed..]
}
