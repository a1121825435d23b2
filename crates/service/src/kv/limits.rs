//! [`Limits`]: what the configuration allows. Every replica of a partition has
//! the same ones, for they decide what a command does.

/// What must not become larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Once a partition's logical size is above this, commands that may make it
    /// grow are refused, as Redis does with the policy `noeviction`. 0 is no limit.
    pub max_memory: u64,
    /// The longest string, in bytes: `proto-max-bulk-len` of Redis.
    pub max_string: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_memory: 0, max_string: 512 << 20 }
    }
}
