use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{DeviceId, Edit, Engine, Pair, Port};

/// What a device is in a preset: "Stage left", whichever device that is today.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(pub String);

/// Role and channel where a route comes from, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoutePlan {
    /// Where it comes from.
    pub output: (Role, u16),
    /// Where it goes.
    pub input: (Role, u16),
}

/// Routes between roles, and the devices that had the roles when it was saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preset {
    /// Who had which role.
    pub roles: BTreeMap<Role, DeviceId>,
    /// What was wished.
    pub routes: Vec<RoutePlan>,
}

/// A route of a preset has a role that no device has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRole(pub Role);

impl fmt::Display for MissingRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no device has the role \"{}\"", self.0.0)
    }
}

impl core::error::Error for MissingRole {}

impl Preset {
    /// What is wished now. `role` names devices; two of the same name are told apart by a number.
    pub fn of(engine: &Engine, mut role: impl FnMut(&DeviceId) -> String) -> Self {
        let mut roles: BTreeMap<DeviceId, Role> = BTreeMap::new();
        let mut preset = Self::default();
        let wished = engine.saved().into_iter().filter(|wish| wish.wished);
        for Pair { output, input } in wished.map(|wish| wish.pair) {
            let mut named = |id: &DeviceId| {
                if let Some(role) = roles.get(id) {
                    return role.clone();
                }
                let name = role(id);
                let mut unique = Role(name.clone());
                let mut number = 2_u32;
                while preset.roles.contains_key(&unique) {
                    unique = Role(alloc::format!("{name} {number}"));
                    number += 1;
                }
                preset.roles.insert(unique.clone(), id.clone());
                roles.insert(id.clone(), unique.clone());
                unique
            };
            let (from, to) = (named(&output.device), named(&input.device));
            preset.routes.push(RoutePlan { output: (from, output.channel), input: (to, input.channel) });
        }
        preset
    }

    /// The routes, when `others` have the roles that it names and everybody else the one of when it was saved.
    pub fn pairs(&self, others: &BTreeMap<Role, DeviceId>) -> Result<Vec<Pair>, MissingRole> {
        let port = |(role, channel): &(Role, u16)| {
            let device = others.get(role).or_else(|| self.roles.get(role));
            let device = device.ok_or_else(|| MissingRole(role.clone()))?.clone();
            Ok(Port { device, channel: *channel })
        };
        self.routes.iter().map(|route| Ok(Pair::new(port(&route.output)?, port(&route.input)?))).collect()
    }

    /// What makes the routes of the preset wished. With `exactly`, every other wish is withdrawn.
    pub fn edits(
        &self,
        engine: &Engine,
        others: &BTreeMap<Role, DeviceId>,
        exactly: bool,
    ) -> Result<Vec<Edit>, MissingRole> {
        let pairs = self.pairs(others)?;
        let mut edits = Vec::new();
        if exactly {
            let wished = engine.saved().into_iter().filter(|wish| wish.wished).map(|wish| wish.pair);
            edits.extend(wished.filter(|pair| !pairs.contains(pair)).map(Edit::Withdraw));
        }
        edits.extend(pairs.into_iter().filter(|pair| !engine.is_wished(pair)).map(Edit::Wish));
        Ok(edits)
    }
}
