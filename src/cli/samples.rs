//! Samples: what the emulated account has beside pictures, so that each command has something to tell.

use std::io::Write;

use bedfs_emulator::{Emulator, Share};
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{Timestamp, ToSpan};

use crate::types::SERVICE_ZONE;

/// The file of the cloud drive that the document asks for (`002`).
const DRIVE_FILE: u64 = 10_861_131;

/// Puts in two offline logs, a paid share and a file of the cloud drive.
pub(super) fn put_in(emulator: &Emulator) -> std::io::Result<()> {
    for back in [2, 1] {
        let hour = SERVICE_ZONE.to_datetime(Timestamp::now() - back.hours());
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let time = hour.strftime("%d/%b/%Y:%H:07:03 +0800");
        writeln!(gzip, "203.0.113.7 - - [{time}] \"GET /sunrise.png HTTP/2.0\" 200 70211")?;
        let name = format!("{}.gz", hour.strftime("%Y%m%d%H"));
        let hour = hour.strftime("%Y%m%d%H").to_string();
        emulator.add_offline_log(&hour, &name, &gzip.finish()?);
    }
    emulator.add_share(Share {
        id: 81_252_309,
        key: "JY1ZVv-9GqnH".to_owned(),
        name: "Pictures of the sea".to_owned(),
        price: 11.1,
        earned: 33.3,
        expiration: "2099-12-31 08:00:00".to_owned(),
        is_expired: false,
    });
    emulator.add_drive_file(DRIVE_FILE, "https://vip.example/1815309870/sea.mp4");
    Ok(())
}
