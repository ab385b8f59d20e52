//! Who of those in the queue for room may begin: first come first served, over scopes that lie within one another (a step in its pipeline, in its
//! repository, on the machine).
//!
//! Somebody who waits for room in one scope takes none in the others: whoever comes later and fits goes ahead. That starves nobody, as scopes lie within one
//! another: the end that makes room in the innermost full one makes room in all around it as well, and the one who has waited longest is asked first.
//! Knows nothing of files, processes, or of what it is that begins.

use std::collections::{BTreeSet, HashMap};

use crate::model::settings::Standing;

/// The numbers of those who wait and may begin now. Whoever has begun holds its room whatever comes; limits are everybody's own, as each was told them.
pub fn admitted(standing: &[Standing]) -> BTreeSet<u64> {
    let mut taken: HashMap<&str, u32> = HashMap::new();
    for holder in standing.iter().filter(|one| one.holds) {
        holder.scopes.iter().for_each(|scope| *taken.entry(&scope.name).or_default() += 1);
    }
    let mut waiting: Vec<&Standing> = standing.iter().filter(|one| !one.holds).collect();
    waiting.sort_unstable_by_key(|one| one.number);
    let mut admitted = BTreeSet::new();
    for one in waiting {
        // A limit of none at all would never let it begin.
        if one.scopes.iter().all(|scope| taken.get(scope.name.as_str()).copied().unwrap_or(0) < scope.limit.max(1)) {
            one.scopes.iter().for_each(|scope| *taken.entry(&scope.name).or_default() += 1);
            admitted.insert(one.number);
        }
    }
    admitted
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::settings::Scope;

    fn scope(name: String, limit: u32) -> Scope {
        Scope { name, limit }
    }

    /// A step of a pipeline of the one machine; both know how many of them may run at once.
    fn one(number: u64, (pipeline, step): (u8, u8), limits: [u32; 3]) -> Standing {
        let scopes = vec![
            scope("machine".to_owned(), limits[0]),
            scope(format!("pipeline:{pipeline}"), limits[1]),
            scope(format!("step:{pipeline}.{step}"), limits[2]),
        ];
        Standing { number, holds: false, scopes }
    }

    fn held(standing: &[Standing]) -> BTreeMap<(String, u32), u32> {
        let mut held = BTreeMap::new();
        for scope in standing.iter().filter(|one| one.holds).flat_map(|one| &one.scopes) {
            *held.entry((scope.name.clone(), scope.limit)).or_default() += 1;
        }
        held
    }

    /// Those who may begin do.
    fn begin(standing: &mut [Standing]) -> BTreeSet<u64> {
        let begun = admitted(standing);
        standing.iter_mut().filter(|one| begun.contains(&one.number)).for_each(|one| one.holds = true);
        begun
    }

    #[test]
    fn a_full_step_does_not_hold_up_others_and_is_not_overtaken_by_its_own() {
        let limits = [2, 9, 1];
        let mut all: Vec<Standing> = [(1, (0, 0)), (2, (0, 0)), (3, (0, 1)), (4, (0, 0))].map(|(n, of)| one(n, of, limits)).to_vec();
        assert_eq!(begin(&mut all), BTreeSet::from([1, 3]));
        all.remove(0);
        assert_eq!(begin(&mut all), BTreeSet::from([2]));
        assert_eq!(admitted(&all), BTreeSet::new());
    }

    #[test]
    fn whoever_is_told_a_smaller_limit_waits_for_those_who_were_told_a_larger_one() {
        let mut all = vec![one(1, (0, 0), [3, 9, 9]), one(2, (0, 1), [3, 9, 9]), one(3, (0, 2), [1, 9, 9])];
        assert_eq!(begin(&mut all), BTreeSet::from([1, 2]));
        all.retain(|one| one.number != 1);
        assert_eq!(admitted(&all), BTreeSet::new());
        all.retain(|one| one.number != 2);
        assert_eq!(admitted(&all), BTreeSet::from([3]));
    }

    /// What happens next: somebody comes, somebody who runs ends (or dies), somebody who waits gives up, those who may begin notice it.
    #[derive(Debug, Clone)]
    enum Move {
        Come(u8, u8),
        End(prop::sample::Index),
        GiveUp(prop::sample::Index),
        Begin(prop::sample::Index),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            4 => (0..3_u8, 0..3_u8).prop_map(|(pipeline, step)| Move::Come(pipeline, step)),
            2 => any::<prop::sample::Index>().prop_map(Move::End),
            1 => any::<prop::sample::Index>().prop_map(Move::GiveUp),
            4 => any::<prop::sample::Index>().prop_map(Move::Begin),
        ];
        prop::collection::vec(one, 0..120)
    }

    fn pick(standing: &[Standing], holds: bool, at: prop::sample::Index) -> Option<u64> {
        let of: Vec<u64> = standing.iter().filter(|one| one.holds == holds).map(|one| one.number).collect();
        (!of.is_empty()).then(|| of[at.index(of.len())])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_limits_hold_nobody_overtakes_in_a_scope_and_no_room_is_wasted(limits in prop::array::uniform3(1..5_u32), moves in moves()) {
            let mut all: Vec<Standing> = Vec::new();
            let mut may: BTreeSet<u64> = BTreeSet::new();
            for (number, step) in moves.into_iter().enumerate() {
                match step {
                    Move::Come(pipeline, step) => all.push(one(number as u64, (pipeline, step), limits)),
                    Move::End(at) => if let Some(gone) = pick(&all, true, at) { all.retain(|one| one.number != gone) },
                    Move::GiveUp(at) => if let Some(gone) = pick(&all, false, at) { all.retain(|one| one.number != gone) },
                    // Everybody notices at another time, and only one at a time takes.
                    Move::Begin(at) => if let Some(&first) = may.iter().nth(at.index(may.len().max(1))) {
                        all.iter_mut().filter(|one| one.number == first).for_each(|one| one.holds = true);
                    },
                }
                for ((name, limit), held) in held(&all) {
                    prop_assert!(held <= limit, "{} hold {name}, {limit} may", held);
                }
                let before = std::mem::replace(&mut may, admitted(&all));
                // What somebody may is not taken back while they have not noticed it yet.
                prop_assert!(before.iter().all(|number| may.contains(number) || !all.iter().any(|one| one.number == *number && !one.holds)));
                for late in all.iter().filter(|one| may.contains(&one.number)) {
                    let overtaken = all.iter().find(|one| !one.holds && one.number < late.number && one.scopes == late.scopes && !may.contains(&one.number));
                    prop_assert!(overtaken.is_none(), "{} goes before {overtaken:?}", late.number);
                }
                let mut then = all.clone();
                begin(&mut then);
                let full = held(&then);
                for waits in then.iter().filter(|one| !one.holds) {
                    let why = waits.scopes.iter().find(|scope| full.get(&(scope.name.clone(), scope.limit)).is_some_and(|held| *held >= scope.limit));
                    prop_assert!(why.is_some(), "{} waits for nothing", waits.number);
                }
            }
        }

        /// Others keep coming, as many as end, for ever; everybody gets their turn all the same.
        #[test]
        fn nobody_waits_for_ever(limits in prop::array::uniform3(1..4_u32), first in prop::collection::vec((0..3_u8, 0..3_u8), 1..20), later in prop::collection::vec((0..3_u8, 0..3_u8), 1..20)) {
            let mut all: Vec<Standing> = first.iter().enumerate().map(|(number, of)| one(number as u64, *of, limits)).collect();
            let mut next = all.len() as u64;
            begin(&mut all);
            // One end a round, of whoever began longest ago as far as numbers tell: each of the first needs to be waited for once, by each that came with it.
            for round in 0..first.len() * (first.len() + 1) {
                let ends = all.iter().filter(|one| one.holds).map(|one| one.number).min();
                prop_assert!(ends.is_some(), "nobody runs, and {} wait", all.len());
                all.retain(|one| Some(one.number) != ends);
                for _ in 0..2 {
                    all.push(one(next, later[(round + next as usize) % later.len()], limits));
                    next += 1;
                }
                begin(&mut all);
            }
            prop_assert!(all.iter().all(|one| one.number >= first.len() as u64), "still here: {:?}", all.first());
        }
    }
}
