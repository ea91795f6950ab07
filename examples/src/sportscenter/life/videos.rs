//! Videos on their way through the platform.

use serde_json::json;

use super::{REMARKS, Scene};

/// How many are on their way at the same time.
const AT_ONCE: usize = 3;

/// Those that are neither analyzed yet nor lost.
#[derive(Debug, Default)]
pub(super) struct Videos(Vec<Video>);

#[derive(Debug)]
struct Video {
    id: String,
    is_uploaded: bool,
    /// Of the upload, and then of the processing, in percent.
    progress: u64,
}

impl Videos {
    /// One begins, comes farther, is analyzed, or now and then lost.
    pub(super) fn turn(&mut self, scene: &mut Scene<'_>) {
        if self.0.len() < AT_ONCE {
            self.0.push(Video {
                id: scene.uuid(),
                is_uploaded: false,
                progress: 0,
            });
        }
        let at = scene.part(self.0.len() as u64) as usize;
        let step = 15 + scene.part(30);
        let video = &mut self.0[at];
        if !video.is_uploaded && video.progress == 100 {
            (video.is_uploaded, video.progress) = (true, 0);
        } else if video.progress == 100 {
            let Video { id, .. } = self.0.swap_remove(at);
            return analyzed(&id, scene);
        } else if video.progress > 0 && scene.chance(4) {
            let Video { id, progress, .. } = self.0.swap_remove(at);
            let data = json!({"videoId": id, "status": "failed", "progress": progress});
            return scene.tell("video:status", data);
        } else {
            video.progress = (video.progress + step).min(100);
        }
        let status = if video.is_uploaded {
            "processing"
        } else {
            "uploading"
        };
        let data = json!({"videoId": video.id, "status": status, "progress": video.progress});
        scene.tell("video:status", data);
    }
}

fn analyzed(id: &str, scene: &mut Scene<'_>) {
    let data = json!({
        "videoId": id,
        "status": "analyzed",
        "analysis": {"techniques": [{
            "timestamp": scene.about(12.4),
            "type": scene.pick(&["start", "stride", "turn"]),
            "confidence": scene.about(0.9),
            "feedback": scene.pick(REMARKS),
        }]},
    });
    scene.tell("video:analysis", data);
}
