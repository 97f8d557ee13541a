//! What is known of an upload before anything is changed.

use std::collections::BTreeSet;

use greenroom_model::{ActorError, Capability, Difference, codes};
use serde::Serialize;

use crate::rehearsal::RehearsalReport;

/// What was found out about an upload before anything was changed.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Its component.
    pub component: String,
    /// The revision that it was compared with; none for the first.
    pub compared_with: Option<u32>,
    /// The hash of its bytes, in hexadecimal.
    pub hash: String,
    /// How large it is, and how much of what there may be it needs.
    pub limits: LimitsReport,
    /// What is different.
    pub differences: Vec<Difference>,
    /// What it can do.
    pub capabilities: BTreeSet<Capability>,
    /// What it can do that the other could not.
    pub widened: BTreeSet<Capability>,
    /// Whether it has a state of another version, for any actor type that both have.
    pub is_migrating: bool,
    /// What the rehearsal came to, if there was one.
    pub rehearsal: Option<RehearsalReport>,
}

/// What an upload needs, and what there may be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsReport {
    /// How many bytes it has.
    pub size_bytes: u64,
    /// How many it may have.
    pub size_bytes_max: u64,
    /// How much memory each actor has to begin with.
    pub memory_bytes: u64,
    /// How much it may have.
    pub memory_bytes_max: u64,
}

impl Report {
    /// What it can do and has not been granted.
    pub(crate) fn not_granted(&self, granted: &BTreeSet<Capability>) -> Option<ActorError> {
        let missing: Vec<&str> = self
            .widened
            .difference(granted)
            .map(|capability| capability.as_str())
            .collect();
        if missing.is_empty() {
            return None;
        }
        let text = format!(
            "it can do what revision {} could not, which has to be granted: {}",
            self.compared_with.unwrap_or_default(),
            missing.join(", ")
        );
        Some(ActorError::new(codes::COMPONENT_NOT_GRANTED, text))
    }

    /// That there are actors that would not start on it.
    pub(crate) fn unfit(&self) -> Option<ActorError> {
        let rehearsal = self.rehearsal.as_ref()?;
        if rehearsal.failed_at_first == 0 {
            return None;
        }
        let text = format!(
            "{} of {} actors would not start on it; nothing was changed",
            rehearsal.failed_at_first, rehearsal.tried
        );
        Some(ActorError::new(codes::COMPONENT_REHEARSAL_FAILED, text))
    }
}
