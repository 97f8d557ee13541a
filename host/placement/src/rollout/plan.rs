//! Which actors go over to a new revision, and when: the rules, and nothing else.

use std::sync::Arc;

use greenroom_actor::Placed;
use greenroom_model::{ActorId, ActorKey, ActorType};
use greenroom_storage::{Pin, RevisionId};
use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

/// The most types, and the most patterns, that a plan may name.
const PLAN_NAMES_MAX: usize = 256;
/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1_024;

/// Which actors go over: those to which everything applies that it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plan {
    /// Out of a hundred. Always the same actors, which are also among those of every larger number.
    pub percent: f64,
    /// Only these types; all, if there are none.
    pub actor_types: Vec<String>,
    /// Only keys that match one of these patterns (`*` is anything, `?` one character); all, if there are none.
    /// Parts of a key are joined with `/`.
    pub keys: Vec<String>,
    /// That some actors cannot start on it was known, and accepted.
    pub is_forced: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            percent: 100.0,
            actor_types: Vec::new(),
            keys: Vec::new(),
            is_forced: false,
        }
    }
}

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPlan {
    /// A part of nothing, or of more than there is.
    #[error("a rollout goes to more than 0 and at most 100 percent")]
    Percent,
    /// Too many, or too long.
    #[error(
        "a rollout names at most {PLAN_NAMES_MAX} types and {PLAN_NAMES_MAX} patterns of at most \
         {PATTERN_BYTES_MAX} bytes"
    )]
    Names,
}

impl Plan {
    /// Checks the bounds.
    ///
    /// # Errors
    ///
    /// The first [`BadPlan`] found.
    pub fn check(&self) -> Result<(), BadPlan> {
        if !(self.percent > 0.0 && self.percent <= 100.0) {
            return Err(BadPlan::Percent);
        }
        let is_too_long = |name: &String| name.len() > PATTERN_BYTES_MAX;
        let all = [&self.actor_types, &self.keys];
        if all
            .iter()
            .any(|names| names.len() > PLAN_NAMES_MAX || names.iter().any(is_too_long))
        {
            return Err(BadPlan::Names);
        }
        Ok(())
    }

    /// Whether every actor goes.
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.percent >= 100.0 && self.actor_types.is_empty() && self.keys.is_empty()
    }

    /// Its patterns, ready to be matched: making them takes longer than matching.
    pub(crate) fn patterns(&self) -> Arc<[WildMatch]> {
        self.keys.iter().map(|key| WildMatch::new(key)).collect()
    }

    /// Whether an actor goes. `patterns` are [those of the plan](Self::patterns).
    pub(crate) fn selects(
        &self,
        patterns: &[WildMatch],
        (id, actor_type, key): (ActorId, &ActorType, &ActorKey),
    ) -> bool {
        let is_type = |name: &String| name == actor_type.as_str();
        if place_of(id) >= self.percent
            || !(self.actor_types.is_empty() || self.actor_types.iter().any(is_type))
        {
            return false;
        }
        patterns.is_empty() || {
            let key = key.parts().join("/");
            patterns.iter().any(|pattern| pattern.matches(&key))
        }
    }
}

/// Where an actor stands between 0 and 100, for ever. The low bits of an id are random.
#[expect(
    clippy::cast_precision_loss,
    reason = "it is below a million, which a float holds"
)]
fn place_of(id: ActorId) -> f64 {
    (id.as_u128() % 1_000_000) as f64 / 10_000.0
}

/// An actor that runs on something, or is about to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Who<'a> {
    pub(crate) id: ActorId,
    pub(crate) actor_type: &'a ActorType,
    pub(crate) key: &'a ActorKey,
    /// What it runs on, or what has written its state if it sleeps.
    pub(crate) stands_on: Option<RevisionId>,
    pub(crate) pin: Option<&'a Pin>,
}

/// A rollout, as far as it decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way<'a> {
    pub(crate) target: RevisionId,
    pub(crate) plan: &'a Plan,
    pub(crate) patterns: &'a [WildMatch],
    /// Nobody goes over any more, and nobody goes back.
    pub(crate) is_paused: bool,
}

/// What an actor runs on: `current`, unless the rollout or a pin says otherwise.
pub(crate) fn wanted(who: &Who<'_>, current: RevisionId, way: Option<Way<'_>>) -> RevisionId {
    let goes = match way {
        Some(way) if way.is_paused && who.stands_on != Some(way.target) => current,
        Some(way)
            if way
                .plan
                .selects(way.patterns, (who.id, who.actor_type, who.key)) =>
        {
            way.target
        }
        _ => current,
    };
    match who.pin {
        Some(pin) if pin.refused.is_none_or(|refused| refused == goes) => pin.revision,
        _ => goes,
    }
}

impl<'a> Who<'a> {
    /// An actor that is awake.
    pub(crate) fn awake(
        id: ActorId,
        actor_type: &'a ActorType,
        key: &'a ActorKey,
        placed: &'a Placed,
    ) -> Self {
        Self {
            id,
            actor_type,
            key,
            stands_on: Some(placed.revision),
            pin: placed.pin.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use greenroom_model::Millis;

    use super::*;

    const OLD: RevisionId = RevisionId(1);
    const NEW: RevisionId = RevisionId(2);

    fn wants(id: u128, key: &[&str], plan: &Plan, paused: bool, pin: Option<&Pin>) -> RevisionId {
        let (actor_type, key) = (ActorType::new("t").unwrap(), ActorKey::new(key).unwrap());
        let who = Who {
            id: ActorId::from_u128(id),
            actor_type: &actor_type,
            key: &key,
            stands_on: Some(OLD),
            pin,
        };
        let way = Way {
            target: NEW,
            plan,
            patterns: &plan.patterns(),
            is_paused: paused,
        };
        wanted(&who, OLD, Some(way))
    }

    fn part(percent: f64) -> Plan {
        Plan {
            percent,
            ..Plan::default()
        }
    }

    #[test]
    fn a_percentage_takes_its_part_and_each_larger_one_the_same_actors() {
        let ids: Vec<u128> = (0..20_000).map(|_| ActorId::generate().as_u128()).collect();
        let going = |percent| {
            let plan = part(percent);
            let ids = ids.iter().copied();
            let going = ids.filter(|id| wants(*id, &[], &plan, false, None) == NEW);
            going.collect::<Vec<u128>>()
        };
        let (few, more) = (going(10.0), going(30.0));
        assert!((1_700..2_300).contains(&few.len()), "{}", few.len());
        assert!((5_600..6_400).contains(&more.len()), "{}", more.len());
        assert!(few.iter().all(|id| more.contains(id)));
        assert_eq!(going(100.0).len(), ids.len());
    }

    #[test]
    fn types_and_keys_narrow_it_down() {
        let of_type = |name: &str| Plan {
            actor_types: vec![name.to_owned()],
            ..Plan::default()
        };
        assert_eq!(wants(7, &[], &of_type("t"), false, None), NEW);
        assert_eq!(wants(7, &[], &of_type("u"), false, None), OLD);
        let of_keys = Plan {
            keys: vec!["eu/*".to_owned(), "test".to_owned()],
            ..Plan::default()
        };
        assert_eq!(wants(7, &["eu", "1"], &of_keys, false, None), NEW);
        assert_eq!(wants(7, &["test"], &of_keys, false, None), NEW);
        assert_eq!(wants(7, &["us", "1"], &of_keys, false, None), OLD);
        assert!(!of_keys.is_everyone());
    }

    #[test]
    fn pins_and_pauses_keep_actors_where_they_are() {
        let pin = |refused| Pin {
            revision: RevisionId(9),
            refused,
            reason: String::new(),
            at: Millis(0),
        };
        let all = Plan::default();
        assert_eq!(wants(7, &[], &all, true, None), OLD);
        assert_eq!(wants(7, &[], &all, false, Some(&pin(None))), RevisionId(9));
        let could_not = pin(Some(NEW));
        assert_eq!(wants(7, &[], &all, false, Some(&could_not)), RevisionId(9));
        let could_not_before = pin(Some(RevisionId(8)));
        assert_eq!(wants(7, &[], &all, false, Some(&could_not_before)), NEW);
    }

    #[test]
    fn bounds_are_checked() {
        assert_eq!(part(100.0).check(), Ok(()));
        for percent in [0.0, -1.0, 100.1, f64::NAN] {
            assert_eq!(part(percent).check(), Err(BadPlan::Percent));
        }
        let long = Plan {
            keys: vec!["x".repeat(PATTERN_BYTES_MAX + 1)],
            ..Plan::default()
        };
        assert_eq!(long.check(), Err(BadPlan::Names));
    }
}
