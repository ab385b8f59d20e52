//! How far a pull is, in lines: one now and then, and one at its end, however many layers there are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::pull::size;

/// Between the first lines. What takes long is spoken of less and less often: some thirty lines in an hour.
const OFTEN: Duration = Duration::from_secs(5);

/// Layers of one image; more are not counted.
const MOST: usize = 1000;

#[derive(Debug)]
pub struct Meter {
    name: String,
    begun: Instant,
    next: Instant,
    layers: BTreeMap<String, Layer>,
}

#[derive(Debug, Default)]
struct Layer {
    here: u64,
    all: u64,
    done: bool,
    /// It was here before.
    old: bool,
}

impl Meter {
    pub fn new(name: &str, now: Instant) -> Self {
        Self { name: name.to_owned(), begun: now, next: now + OFTEN, layers: BTreeMap::new() }
    }

    /// So much of a layer is here, of so much.
    pub fn is_at(&mut self, layer: &str, here: u64, all: u64) {
        if let Some(layer) = self.layer(layer) {
            (layer.here, layer.all) = (here, all.max(here));
        }
    }

    /// It is here, unpacked.
    pub fn is_done(&mut self, layer: &str) {
        if let Some(layer) = self.layer(layer) {
            (layer.here, layer.done) = (layer.all, true);
        }
    }

    /// It is here, and nothing had to be got.
    pub fn was_here(&mut self, layer: &str) {
        if let Some(layer) = self.layer(layer) {
            *layer = Layer { done: true, old: true, ..Layer::default() };
        }
    }

    fn layer(&mut self, name: &str) -> Option<&mut Layer> {
        if self.layers.len() >= MOST && !self.layers.contains_key(name) {
            return None;
        }
        Some(self.layers.entry(name.to_owned()).or_default())
    }

    /// A line, when it is time for one.
    pub fn due(&mut self, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + OFTEN.max(now.saturating_duration_since(self.begun) / 4);
        let (here, all) =
            self.layers.values().fold((0_u64, 0_u64), |(here, all), layer| (here.saturating_add(layer.here), all.saturating_add(layer.all)));
        let done = self.layers.values().filter(|layer| layer.done).count();
        Some(format!("pulling {}: {} of {}, {done} of {} layers", self.name, size(here), size(all), self.layers.len()))
    }

    /// The last word.
    pub fn end(&self, now: Instant) -> String {
        let seconds = now.saturating_duration_since(self.begun).as_secs_f64();
        let old = self.layers.values().filter(|layer| layer.old).count();
        let all = self.layers.values().fold(0_u64, |all, layer| all.saturating_add(layer.all));
        let old = if old > 0 { format!(" ({old} of them were here)") } else { String::new() };
        format!("pulled {} in {seconds:.1} s: {} layers{old}, {}", self.name, self.layers.len(), size(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn lines_come_now_and_then_and_say_all_that_there_is() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut meter = Meter::new("r.io/a:1", begun);
        meter.was_here("base");
        meter.is_at("one", 0, 340 * MIB);
        meter.is_at("two", 0, 12 * MIB);
        assert_eq!(meter.due(at(4)), None);
        meter.is_at("one", 40 * MIB, 340 * MIB);
        assert_eq!(meter.due(at(5)).as_deref(), Some("pulling r.io/a:1: 40 MiB of 352 MiB, 1 of 3 layers"));
        assert_eq!(meter.due(at(9)), None);
        meter.is_done("one");
        assert_eq!(meter.due(at(10)).as_deref(), Some("pulling r.io/a:1: 340 MiB of 352 MiB, 2 of 3 layers"));
        meter.is_done("two");
        assert_eq!(meter.end(at(12)), "pulled r.io/a:1 in 12.0 s: 3 layers (1 of them were here), 352 MiB");
        assert_eq!(Meter::new("b", begun).end(begun), "pulled b in 0.0 s: 0 layers, 0 KiB");
    }

    #[test]
    fn what_takes_an_hour_is_no_book() {
        let begun = Instant::now();
        let mut meter = Meter::new("a", begun);
        let lines = (0..3600).filter(|seconds| meter.due(begun + Duration::from_secs(*seconds)).is_some()).count();
        assert!((10..=40).contains(&lines), "{lines}");
    }

    #[test]
    fn who_names_more_layers_than_there_can_be_fills_no_memory() {
        let mut meter = Meter::new("a", Instant::now());
        (0..100_000).for_each(|number| meter.is_at(&number.to_string(), u64::MAX, u64::MAX));
        assert_eq!(meter.layers.len(), MOST);
        assert!(meter.due(Instant::now() + OFTEN).is_some());
    }
}
