//! Wants a file system.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Greedy;

#[actor]
impl Greedy {
    #[action]
    fn read(&self, path: String) -> Result<String> {
        Ok(std::fs::read_to_string(path)?)
    }
}

greenroom_sdk::component!(Greedy);
