//! Makes face.png of a label map. Needs prost, prost-types, tonic and tokio, of the versions that the plugins generate for.
//!
//!     cargo run -- http://localhost:50051

mod maskweave {
    include!("gen/maskweave/v1/maskweave.v1.rs");
}

use maskweave::synthesis_service_client::SynthesisServiceClient;
use maskweave::{label_map, synthesize_request, LabelMap, RawLabelMap, SynthesizeRequest};

const ROWS: &str = "00111100 01111110 01322310 01422410 01255211 01255211 01266211 77777777";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).expect("the address of a service");
    let data = ROWS.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect();
    let raw = RawLabelMap { data, width: 8, height: 8 };
    let label_map = LabelMap { encoding: Some(label_map::Encoding::Raw(raw)) };
    let mut request = tonic::Request::new(SynthesizeRequest {
        model: "faces64".into(),
        condition: Some(synthesize_request::Condition::LabelMap(label_map)),
        start: Some(synthesize_request::Start::Seed(7)),
        ..Default::default()
    });
    request.set_timeout(std::time::Duration::from_secs(30));
    let reply = SynthesisServiceClient::connect(address).await?.synthesize(request).await?.into_inner();
    std::fs::write("face.png", &reply.images[0].data)?;
    Ok(())
}
