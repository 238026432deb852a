//! How hostile inputs are made.

/// Bytes with a meaning in MessagePack, most of them the start of a lie about a length.
const MARKERS: [u8; 24] = [
    0x00, 0x01, 0x7f, 0x80, 0x90, 0x91, 0x92, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6,
    0xcc, 0xcf, 0xd9, 0xdc, 0xdd, 0xde, 0xff,
];

/// Random numbers for one input: SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014), seeded by a decoder's name and the input's number.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(decoder: &str, number: u64) -> Self {
        // FNV-1a, so that no two decoders are fed the same.
        let name = decoder.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(name ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }

    fn marker(&mut self) -> u8 {
        MARKERS[self.below(MARKERS.len())]
    }

    fn pick<'a>(&mut self, corpus: &'a [Vec<u8>]) -> &'a [u8] {
        corpus.get(self.below(corpus.len())).map_or(&[], Vec::as_slice)
    }
}

/// Writes one input into `out`: random bytes, random markers, or a good input made worse.
pub(super) fn input(random: &mut Random, corpus: &[Vec<u8>], out: &mut Vec<u8>) {
    out.clear();
    match random.below(8) {
        0 => {
            let len = length(random);
            out.extend((0..len).map(|_| random.byte()));
        }
        1 => {
            let len = length(random);
            out.extend((0..len).map(|_| if random.one_in(4) { random.byte() } else { random.marker() }));
        }
        _ => {
            out.extend_from_slice(random.pick(corpus));
            for _ in 0..=random.below(4) {
                mutate(random, corpus, out);
            }
        }
    }
}

/// Mostly short; now and then up to 4 KiB.
fn length(random: &mut Random) -> usize {
    let short = random.below(64);
    if random.one_in(16) { short * short } else { short }
}

fn mutate(random: &mut Random, corpus: &[Vec<u8>], out: &mut Vec<u8>) {
    let at = random.below(out.len() + 1);
    let to = (at + 1 + random.below(8)).min(out.len());
    match random.below(10) {
        0 | 1 if at < out.len() => out[at] ^= 1 << random.below(8),
        2 | 3 if at < out.len() => out[at] = random.marker(),
        4 if at < out.len() => out[at] = out[at].wrapping_add(if random.one_in(2) { 1 } else { 255 }),
        5 => out.truncate(at),
        6 => out.insert(at, random.marker()),
        7 if at < to => drop(out.drain(at..to)),
        8 => {
            // The start of one input and the end of another.
            let other = random.pick(corpus);
            let from = random.below(other.len() + 1);
            out.truncate(at);
            out.extend_from_slice(&other[from..]);
        }
        _ => {
            let part = out[at.min(to)..to].to_vec();
            out.splice(at..at, part);
        }
    }
}
