//! What MechaMap's backend might publish: one forum and one shop for ever, in lifelike proportions.

mod forum;
mod people;
mod shop;
#[cfg(test)]
mod tests;

use rand::rngs::StdRng;
use serde_json::Value;

use self::forum::Forum;
use self::people::People;
use self::shop::Shop;
use crate::demo::Scene;

/// Reading outweighs writing, and writing outweighs trading.
pub(super) fn life(random: StdRng) -> impl Iterator<Item = Value> + Send + 'static {
    let mut forum = Forum::default();
    let mut shop = Shop::default();
    let mut people = People::default();
    Scene::play(random, move |scene| match scene.number(0..100) {
        0..73 => forum.turn(scene),
        73..86 => shop.turn(scene),
        _ => people.turn(scene, &mut forum),
    })
}
