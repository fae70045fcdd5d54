//! Under construction.
use crate::{config::Config, storage::Storage};
/// One replica.
#[derive(Debug)]
pub struct RaftCore<S: Storage> {
    #[expect(dead_code, reason = "under construction")]
    config: Config,
    #[expect(dead_code, reason = "under construction")]
    storage: S,
}
