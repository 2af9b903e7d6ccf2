//! `restate-handler`: a service of Restate on a port of loopback, which it prints. Its handler does as
//! many steps as its input says, one after the other.

use restate_sdk::prelude::*;
use tokio::net::TcpListener;

/// What a step returns: 256 bytes of JSON.
const RESULT_BYTES: usize = 254;

struct Bench;

#[service]
impl Bench {
    /// The input is a number of steps, and what makes it 256 bytes of JSON.
    #[handler]
    async fn sequence(
        &self,
        context: Context<'_>,
        Json((steps, _)): Json<(u32, String)>,
    ) -> Result<Json<u32>, HandlerError> {
        for _ in 0..steps {
            context
                .run(|| async { Ok("x".repeat(RESULT_BYTES)) })
                .name("step")
                .await?;
        }
        Ok(Json(steps))
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    HttpServer::new(Endpoint::builder().bind(Bench).build())
        .serve(listener)
        .await;
    Ok(())
}
