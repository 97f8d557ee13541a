//! The other half of `order`: the stock of one article, which is the actor's key.

use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Inventory {
    stock: u32,
}

/// The order actor, as this one sees it.
#[handle("order", rename_all = "camelCase")]
trait Order {
    async fn note_reservation(&self, sku: String, count: u32);
}

#[actor(rename_all = "camelCase")]
impl Inventory {
    #[action]
    fn restock(&mut self, count: u32) -> u32 {
        self.stock = self.stock.saturating_add(count);
        self.stock
    }

    #[action]
    fn stock(&self) -> u32 {
        self.stock
    }

    /// Takes `count` out of stock and tells the order so. `false` if there is not enough.
    #[action]
    async fn reserve(cx: Context<Self>, order: Vec<String>, count: u32) -> Result<bool> {
        // Between two waits nobody else runs: looking and taking is one step.
        let is_taken = cx.update(|inventory| match inventory.stock.checked_sub(count) {
            Some(left) => {
                inventory.stock = left;
                true
            }
            None => false,
        });
        if is_taken {
            let sku = cx.key().first().cloned().unwrap_or_default();
            Order::get_or_create(order)
                .note_reservation(sku, count)
                .await?;
        }
        Ok(is_taken)
    }
}

greenroom_sdk::component!(Inventory);
