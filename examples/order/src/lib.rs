//! How do actors work together? An order asks one inventory for each of its lines, all at the same time, and
//! the inventories call back into the order while it waits for them. Calls interleave, so nobody
//! waits for somebody who waits for him.

use futures::future::join_all;
use greenroom_sdk::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Order {
    status: Option<Status>,
    reserved: Vec<Line>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    sku: String,
    count: u32,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Status {
    Pending,
    Confirmed,
    Rejected,
}

#[derive(Serialize)]
struct Receipt {
    status: Status,
    reserved: Vec<Line>,
}

/// The inventory actor, as this one sees it.
#[handle("inventory", rename_all = "camelCase")]
trait Inventory {
    /// Takes `count` out of stock for an order, if there is so much.
    async fn reserve(&self, order: Vec<String>, count: u32) -> bool;
    /// Puts `count` back.
    async fn restock(&self, count: u32) -> u32;
}

#[actor(rename_all = "camelCase")]
impl Order {
    /// Reserves every line, or none of them.
    #[action]
    async fn place(cx: Context<Self>, lines: Vec<Line>) -> Result<Receipt> {
        if cx.read(|order| order.status.is_some()) {
            return Err(UserError::new("the order is placed already")
                .with_code("placed")
                .into());
        }
        cx.update(|order| order.status = Some(Status::Pending));
        let reservations = lines.iter().map(|line| {
            let inventory = Inventory::get_or_create([line.sku.as_str()]);
            let order = cx.key().to_vec();
            async move { inventory.reserve(order, line.count).await }
        });
        let answers = join_all(reservations).await;
        let is_complete = answers.iter().all(|answer| matches!(answer, Ok(true)));
        if !is_complete {
            // Those that were reserved went through `noteReservation`.
            for line in cx.update(|order| std::mem::take(&mut order.reserved)) {
                Inventory::get_or_create([line.sku])
                    .restock(line.count)
                    .await?;
            }
        }
        Ok(cx.update(|order| {
            let status = if is_complete {
                Status::Confirmed
            } else {
                Status::Rejected
            };
            order.status = Some(status);
            Receipt {
                status,
                reserved: order.reserved.clone(),
            }
        }))
    }

    /// Called by an inventory, while `place` waits for it.
    #[action]
    fn note_reservation(&mut self, sku: String, count: u32) {
        self.reserved.push(Line { sku, count });
    }

    #[action]
    fn status(&self) -> Option<Status> {
        self.status
    }
}

greenroom_sdk::component!(Order);
