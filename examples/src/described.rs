//! The documents that are made of the platforms' types.

use fanfare::Catalog;

use crate::mechamap::MechaMap;
use crate::platform::Platform;
use crate::sportscenter::SportsCenter;

/// A document: where it stands in the folder of the clients, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `mechamap/asyncapi.json`
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The documents of all platforms.
#[must_use]
pub fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    add::<MechaMap>(&mut documents);
    add::<SportsCenter>(&mut documents);
    documents
}

fn add<P: Platform>(documents: &mut Vec<Document>) {
    let catalog = P::catalog();
    let folder = P::NAME.to_lowercase();
    let texts = [
        ("asyncapi.json", asyncapi::<P>(&catalog)),
        ("schema.json", catalog.json_schema(P::NAME)),
        ("events.d.ts", catalog.typescript(P::NAME)),
    ];
    documents.extend(texts.map(|(file, text)| Document {
        path: format!("{folder}/{file}"),
        text,
    }));
}

/// What `/asyncapi.json` says.
fn asyncapi<P: Platform>(catalog: &Catalog) -> String {
    catalog.asyncapi(P::NAME, env!("CARGO_PKG_VERSION"))
}
