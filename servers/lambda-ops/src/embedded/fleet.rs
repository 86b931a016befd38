//! Grows the embedded account's functions from a seed: a small shop's, as they look after some years.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

use super::{
    ACCOUNT_ID,
    behaviour::{Behaviour, Habit},
    function::Function,
    known::{self, Owner},
    state::{identifier, written},
};
use crate::runtimes::language;

const DOMAINS: [&str; 16] = [
    "account",
    "audit",
    "basket",
    "billing",
    "catalog",
    "delivery",
    "inventory",
    "invoice",
    "loyalty",
    "newsletter",
    "orders",
    "payment",
    "refund",
    "review",
    "search",
    "supplier",
];
const ROLES: [&str; 10] = [
    "api", "archiver", "events", "export", "import", "mailer", "nightly", "sync", "webhook", "worker",
];

/// How often a runtime occurs, in parts of [`WEIGHT`]. `None` is a container image.
const RUNTIMES: [(Option<&str>, u32); 28] = [
    (Some("nodejs12.x"), 3),
    (Some("nodejs14.x"), 4),
    (Some("nodejs16.x"), 8),
    (Some("nodejs18.x"), 13),
    (Some("nodejs20.x"), 15),
    (Some("nodejs22.x"), 12),
    (Some("nodejs24.x"), 6),
    (Some("python3.7"), 3),
    (Some("python3.8"), 5),
    (Some("python3.9"), 8),
    (Some("python3.10"), 6),
    (Some("python3.11"), 7),
    (Some("python3.12"), 8),
    (Some("python3.13"), 5),
    (Some("python3.14"), 2),
    (Some("java8.al2"), 2),
    (Some("java11"), 3),
    (Some("java17"), 4),
    (Some("java21"), 4),
    (Some("ruby2.7"), 1),
    (Some("ruby3.2"), 2),
    (Some("ruby3.3"), 2),
    (Some("dotnet6"), 2),
    (Some("dotnet8"), 4),
    (Some("go1.x"), 3),
    (Some("provided.al2"), 4),
    (Some("provided.al2023"), 5),
    (None, 12),
];
const WEIGHT: u32 = 153;

/// The functions of a seed in a region, with or without the known ones.
pub(super) fn grow(seed: u64, region: &str, size: usize, with_known: bool) -> Vec<Function> {
    let mut dice = Dice {
        chance: Xoshiro256PlusPlus::seed_from_u64(seed ^ salt(region)),
        region,
    };
    let known: &[known::Known] = if with_known { &known::KNOWN } else { &[] };
    let mut fleet: Vec<Function> = known
        .iter()
        .map(|known| {
            let mut function = dice.function(known.name.to_owned(), known.runtime, known.habit, known.owner);
            known::dress(&mut function);
            function
        })
        .collect();
    fleet.truncate(size);
    let (mut names, mut round) = (Vec::new(), 0);
    while fleet.len() < size {
        if names.is_empty() {
            round += 1;
            names = round_of_names(round);
        }
        let name = names.swap_remove(dice.below(names.len()));
        let runtime = dice.runtime();
        let habit = dice.habit(runtime);
        let owner = dice.owner();
        fleet.push(dice.function(name, runtime, habit, owner));
    }
    fleet
}

/// Every domain with every role; from the second round on with the round's number.
fn round_of_names(round: usize) -> Vec<String> {
    let number = if round > 1 {
        format!("-{round}")
    } else {
        String::new()
    };
    DOMAINS
        .iter()
        .flat_map(|domain| ROLES.iter().map(move |role| format!("{domain}-{role}")))
        .map(|name| name + &number)
        .filter(|name| known::KNOWN.iter().all(|known| known.name != name))
        .collect()
}

/// A number for a region, so that regions differ (FNV-1a); none for the account's usual one.
fn salt(region: &str) -> u64 {
    if region == super::REGION {
        return 0;
    }
    region.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

struct Dice<'a> {
    chance: Xoshiro256PlusPlus,
    region: &'a str,
}

impl Dice<'_> {
    fn below(&mut self, end: usize) -> usize {
        self.chance.random_range(0..end)
    }

    fn one_of<T: Copy>(&mut self, all: &[T], otherwise: T) -> T {
        let at = self.below(all.len().max(1));
        all.get(at).copied().unwrap_or(otherwise)
    }

    fn hex(&mut self) -> String {
        format!("{:016x}", self.chance.random::<u64>())
    }

    fn runtime(&mut self) -> Option<&'static str> {
        let mut left = self.chance.random_range(0..WEIGHT);
        for (runtime, weight) in RUNTIMES {
            if left < weight {
                return runtime;
            }
            left -= weight;
        }
        None
    }

    /// One function in eight does not survive an upgrade or does not work at all.
    fn habit(&mut self, runtime: Option<&str>) -> Habit {
        let trouble = match runtime.unwrap_or_default() {
            "nodejs12.x" | "nodejs14.x" | "nodejs16.x" => Habit::NeedsBundledSdk,
            "nodejs18.x" | "nodejs20.x" | "nodejs22.x" => Habit::NeedsCallback,
            "python3.7" | "python3.8" | "python3.9" => Habit::NeedsDistutils,
            "python3.10" => Habit::NativeExtension { minor: 10 },
            "python3.11" => Habit::NativeExtension { minor: 11 },
            "java8.al2" => Habit::NeedsJaxb,
            "go1.x" => Habit::NoBootstrap,
            _ => Habit::AlwaysRaises,
        };
        if self.chance.random_bool(0.125) {
            trouble
        } else {
            Habit::Sound
        }
    }

    fn function(&mut self, name: String, runtime: Option<&str>, habit: Habit, owner: Owner) -> Function {
        let handler = match runtime.map(language) {
            Some("nodejs") => "index.handler",
            Some("python") => "app.handler",
            Some("java") => "shop.Handler::handleRequest",
            Some("dotnet") => "Shop::Shop.Function::Handle",
            Some("ruby") => "app.handler",
            Some("go") => "main",
            Some(_) => "bootstrap",
            None => "",
        };
        let layers = if runtime.is_some() && self.chance.random_bool(0.2) {
            let (region, version) = (self.region, 1 + self.below(30));
            vec![format!(
                "arn:aws:lambda:{region}:{ACCOUNT_ID}:layer:shop-telemetry:{version}"
            )]
        } else {
            Vec::new()
        };
        let architecture = self.one_of(&["x86_64", "arm64"], "x86_64");
        Function {
            runtime: runtime.map(str::to_owned),
            handler: handler.to_owned(),
            role: format!("arn:aws:iam::{ACCOUNT_ID}:role/{name}"),
            memory: self.one_of(&[128, 256, 512, 1024, 2048], 128),
            timeout: self.one_of(&[3, 10, 30, 60, 300], 3),
            // these two were never offered on arm64 (Lambda Developer Guide, runtimes)
            architecture: match runtime {
                Some("go1.x" | "python3.7") => "x86_64".to_owned(),
                _ => architecture.to_owned(),
            },
            layers,
            environment: self.environment(&name),
            tags: self.tags(&name, owner),
            code_size: self.chance.random_range(1_000..40_000_000),
            code_sha256: self.hex(),
            last_modified: self.some_day(),
            revision: identifier(self.chance.random()),
            behaviour: Behaviour {
                language: runtime.map(|runtime| language(runtime).to_owned()),
                habit,
            },
            name,
            ..Function::plain(self.region)
        }
    }

    /// Every value is unlike any other text, so that a leak can be found.
    fn environment(&mut self, name: &str) -> BTreeMap<String, String> {
        let mut values = BTreeMap::from([("TABLE_NAME".to_owned(), format!("{name}-{}", self.hex()))]);
        if self.chance.random_bool(0.6) {
            values.insert("DB_PASSWORD".to_owned(), format!("pw-{}", self.hex()));
        }
        if self.chance.random_bool(0.4) {
            values.insert(
                "PAYMENT_API_KEY".to_owned(),
                format!("key-{}{}", self.hex(), self.hex()),
            );
        }
        values
    }

    /// Half of the fleet is owned by a tool.
    fn owner(&mut self) -> Owner {
        let owners = [Owner::CloudFormation, Owner::Sam, Owner::Cdk, Owner::Terraform];
        if self.chance.random_bool(0.5) {
            self.one_of(&owners, Owner::Nobody)
        } else {
            Owner::Nobody
        }
    }

    /// Tags of the team, and those that the owning tool leaves behind.
    fn tags(&mut self, name: &str, owner: Owner) -> BTreeMap<String, String> {
        let team = self.one_of(&["shop", "payments", "logistics", "platform"], "shop");
        let stage = self.one_of(&["prod", "prod", "staging"], "prod");
        let serial = self.chance.random::<u64>();
        let mut tags = BTreeMap::from([("team", team.to_owned()), ("stage", stage.to_owned())]);
        let logical = match owner {
            Owner::Nobody => None,
            Owner::Terraform => {
                tags.insert("ManagedBy", "terraform".to_owned());
                None
            }
            Owner::CloudFormation => Some("Function".to_owned()),
            Owner::Sam => {
                tags.insert("lambda:createdBy", "SAM".to_owned());
                Some(pascal(name))
            }
            Owner::Cdk => Some(format!("{}{:08X}", pascal(name), serial >> 32)),
        };
        if let Some(logical) = logical {
            let stack = format!("{team}-{stage}");
            let arn = format!(
                "arn:aws:cloudformation:{}:{ACCOUNT_ID}:stack/{stack}/{}",
                self.region,
                identifier(serial)
            );
            tags.insert("aws:cloudformation:stack-name", stack);
            tags.insert("aws:cloudformation:stack-id", arn);
            tags.insert("aws:cloudformation:logical-id", logical);
        }
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// A moment in the four years up to October 2026.
    fn some_day(&mut self) -> String {
        let newest = Timestamp::constant(1_790_812_800, 0);
        let age = SignedDuration::from_secs(self.chance.random_range(0..4 * 365 * 86_400));
        written(newest.checked_sub(age).unwrap_or(newest))
    }
}

/// `OrdersApi` of `orders-api`.
fn pascal(name: &str) -> String {
    let mut capital = true;
    let shown = |c: char| {
        let up = std::mem::replace(&mut capital, c == '-');
        (c != '-').then(|| if up { c.to_ascii_uppercase() } else { c })
    };
    name.chars().filter_map(shown).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::REGION, *};

    #[test]
    fn the_weights_add_up() {
        assert_eq!(RUNTIMES.iter().map(|(_, weight)| weight).sum::<u32>(), WEIGHT);
    }

    #[test]
    fn a_seed_always_grows_the_same_fleet_and_another_seed_or_region_another() {
        let sketch = |seed, region| -> Vec<String> {
            grow(seed, region, 120, false)
                .iter()
                .map(|function| format!("{:?} {:?}", function.name, function.revision))
                .collect()
        };
        assert_eq!(sketch(7, REGION), sketch(7, REGION));
        assert_ne!(sketch(7, REGION), sketch(8, REGION));
        assert_ne!(sketch(7, REGION), sketch(7, "eu-west-1"));
    }

    #[test]
    fn a_fleet_of_any_size_has_functions_of_different_names_and_some_images() {
        for (seed, size) in (0..20).map(|seed| (seed, 120)).chain([(1, 5000)]) {
            let fleet = grow(seed, REGION, size, true);
            let names: HashSet<&str> = fleet.iter().map(|function| function.name.as_str()).collect();
            assert_eq!((fleet.len(), names.len()), (size, size));
            let images = fleet.iter().filter(|function| function.runtime.is_none()).count();
            let some = size / 60..=size / 5;
            assert!(
                some.contains(&images),
                "{images} images of {size} with seed {seed}"
            );
        }
        assert_eq!(grow(1, REGION, 1, true).len(), 1);
    }
}
