//! All words and vectors made anew, beside the old ones, which stay in force until all are done.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use service_runtime::BoxError;
use tokio::time::sleep;

use super::progress;
use crate::{
    config::Config,
    domain::{EmbedderIdentity, SystemClock},
    lexical::Bm25,
    memory::Memory,
    prepare::Indexer,
    reindex::{Filled, Reindexing},
    store::index::Stage,
};

/// Makes everything anew with the embedder and the index paths that are configured, unless it was
/// made like that.
pub(super) async fn reindex(config: &Config) -> Result<(), BoxError> {
    let indexer = config.indexer().await?;
    let index = indexer.identity();
    let embedder = EmbedderIdentity::shown(index.embedder.as_ref());
    // Whatever there is: nobody searches by it here.
    let former = super::indexed_with(config).await?;
    let store = crate::open(config, index, Some(former)).await?;
    let Indexer { embedding, .. } = indexer;
    let (clock, bm25) = (Arc::new(SystemClock), Bm25::new()?);
    let memory = Memory::new(store.clone(), clock, bm25, embedding, config.defaults()?);
    let bar = progress::over(store.progress().await?.items);
    let mut reindexing = Reindexing::new(&memory);
    while store.stage() < Stage::Switched {
        let filling = reindexing.fill(|progress| {
            bar.set_length(progress.items);
            bar.set_position(progress.items.saturating_sub(progress.left));
        });
        let Filled { refused, pause } = filling.await?;
        if refused > 0 {
            store.close().await?;
            let told = format!("{refused} items cannot be indexed anew; the log says why");
            return Err(told.into());
        }
        sleep(pause).await;
    }
    bar.finish();
    let items = store.progress().await?.items;
    store.close().await?;
    writeln!(
        io::stdout(),
        "{items} items are indexed anew; their embedder is {embedder}"
    )?;
    Ok(())
}
