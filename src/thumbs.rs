//! Thumbnails: small pictures made of originals on this machine, and kept.
//!
//! Every byte of an original that is fetched is paid traffic. So each is fetched once, and only if it
//! is not among the blocks that mounts keep; what is made of it outlives the process. A file ID never
//! changes its bytes, so a thumbnail is never stale.

use std::fs;
use std::io::{self, Cursor, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use lru::LruCache;
use md5::{Digest, Md5 as Hasher};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::api::{self, Client};
use crate::cache;
use crate::config;
use crate::types::{Entry, FileId, Md5};

/// The longest side of a thumbnail, in pixels: sharp on a screen of two for one.
const SIDE: u32 = 400;
/// Of JPEG, of 100.
const QUALITY: u8 = 80;
/// The largest original that is looked at, in bytes.
pub const LARGEST: u64 = 20 << 20;
/// The most memory that decoding one may take, in bytes.
const MEMORY: u64 = 512 << 20;
/// All that is kept, in bytes; and what is left of it when more comes.
const KEPT: u64 = 256 << 20;
const LEFT: u64 = KEPT / 4 * 3;
/// Originals fetched and decoded at once.
const AT_ONCE: usize = 2;
/// How long one may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often an original that is not the picture is fetched in a row, and how long it is left alone
/// then: each is paid traffic.
const MOST_WRONG: u32 = 3;
const PAUSE: Duration = Duration::from_secs(600);
/// Pictures of which that is remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant says in its message what it is")]
pub enum Error {
    #[error("the picture is larger than 20 MiB")]
    TooLarge,
    #[error("the service has told no link of the picture")]
    NoLink,
    #[error(transparent)]
    Api(#[from] api::Error),
    #[error("the link serves other bytes than the listing has the size and md5 of")]
    WrongBytes,
    #[error("the link served other bytes several times: it is tried again in some minutes")]
    StillWrong,
    #[error("the picture did not come within a minute")]
    Slow,
    #[error("no thumbnail could be made of the picture when it was fetched")]
    Known,
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(String),
}

/// What thumbnails have cost since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Originals.
    pub pictures: u64,
    /// Their bytes, which are paid traffic.
    pub bytes: u64,
}

/// Makes and keeps thumbnails of one account's pictures.
pub struct Thumbs {
    client: Client,
    /// Where they are kept.
    dir: PathBuf,
    /// Where mounts keep blocks.
    blocks: PathBuf,
    turn: Semaphore,
    /// How often other bytes came in a row, and when the last time.
    wrong: Mutex<LruCache<FileId, (u32, Instant)>>,
    pictures: AtomicU64,
    bytes: AtomicU64,
}

impl Thumbs {
    /// Thumbnails that are kept in a folder of their own in the account's cache.
    pub fn new(client: Client, cache: &Path) -> Self {
        Self {
            client,
            dir: cache.join("thumbs"),
            blocks: cache.to_owned(),
            turn: Semaphore::new(AT_ONCE),
            wrong: Mutex::new(LruCache::new(REMEMBERED)),
            pictures: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// What they have cost so far.
    pub fn fetched(&self) -> Fetched {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Fetched { pictures: read(&self.pictures), bytes: read(&self.bytes) }
    }

    /// The thumbnail of a picture, as the bytes of a JPEG or PNG.
    pub async fn get(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let place = self.place(&entry.id);
        if let Some(kept) = kept(&place) {
            return kept;
        }
        if entry.size() > LARGEST {
            return Err(Error::TooLarge);
        }
        let _turn = self.turn.acquire().await.expect("the semaphore is never closed");
        // Made while this waited, perhaps.
        if let Some(kept) = kept(&place) {
            return kept;
        }
        if self.is_left_alone(&entry.id) {
            return Err(Error::StillWrong);
        }
        let made = self.make(entry).await;
        let is_proven = entry.picture().is_some_and(|picture| picture.md5.is_some());
        match &made {
            Ok(bytes) => self.keep(&place, bytes),
            // An empty file says that there is none. Other failures may pass.
            Err(Error::Undecodable(_)) if is_proven => self.keep(&place, b""),
            Err(Error::Undecodable(_) | Error::WrongBytes) => self.note_wrong(&entry.id),
            Err(_) => {}
        }
        made
    }

    fn is_left_alone(&self, id: &FileId) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.peek(id).is_some_and(|(times, at)| *times >= MOST_WRONG && at.elapsed() < PAUSE)
    }

    fn note_wrong(&self, id: &FileId) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let times = wrong.get(id).map_or(0, |(times, _)| *times);
        wrong.put(id.clone(), (times + 1, Instant::now()));
    }

    async fn make(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let original = match cache::beside(&self.blocks, entry) {
            Some(original) => original,
            None => timeout(PATIENCE, self.fetch(entry)).await.map_err(|_| Error::Slow)??,
        };
        let made = tokio::task::spawn_blocking(move || shrink(&original)).await;
        made.map_err(|error| Error::Undecodable(error.to_string()))?
    }

    async fn fetch(&self, entry: &Entry) -> Result<Vec<u8>, Error> {
        let mut link = entry.picture().and_then(|picture| picture.link.clone());
        if link.is_none() {
            link = self.client.detail(&entry.id).await?.picture().and_then(|p| p.link.clone());
        }
        let link = link.ok_or(Error::NoLink)?;
        self.pictures.fetch_add(1, Ordering::Relaxed);
        let mut download = self.client.download(&link.download, None).await?;
        if download.total.is_some_and(|total| total != entry.size()) {
            return Err(download.explain().await.map_or(Error::WrongBytes, Error::Api));
        }
        let mut original = Vec::new();
        while let Some(chunk) = download.chunk().await? {
            self.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if (original.len() + chunk.len()) as u64 > LARGEST {
                return Err(Error::WrongBytes);
            }
            original.extend_from_slice(&chunk);
        }
        let wanted = entry.picture().and_then(|picture| picture.md5);
        match wanted.is_none_or(|md5| md5 == Md5::new(Hasher::digest(&original).into())) {
            true => Ok(original),
            false => Err(Error::WrongBytes),
        }
    }

    fn place(&self, id: &FileId) -> PathBuf {
        self.dir.join(Md5::new(Hasher::digest(id.as_str()).into()).to_string())
    }

    /// A disk that refuses costs another fetch, and no thumbnail.
    fn keep(&self, place: &Path, bytes: &[u8]) {
        let kept = || -> io::Result<()> {
            config::make_private(&self.dir).map_err(io::Error::other)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(bytes)?;
            file.persist(place)?;
            make_room(&self.dir)
        };
        if let Err(error) = kept() {
            tracing::warn!("keeping a thumbnail in {}: {error}", self.dir.display());
        }
    }
}

/// What is kept of a picture, from now on the last that was used.
fn kept(place: &Path) -> Option<Result<Vec<u8>, Error>> {
    let kept = fs::read(place).ok()?;
    let file = fs::File::options().write(true).open(place);
    let _as_it_was = file.and_then(|file| file.set_modified(SystemTime::now()));
    Some(if kept.is_empty() { Err(Error::Known) } else { Ok(kept) })
}

/// Removes those that were not used for longest, if there are too many.
fn make_room(dir: &Path) -> io::Result<()> {
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for file in fs::read_dir(dir)?.flatten() {
        let metadata = file.metadata()?;
        kept.push((metadata.modified()?, metadata.len(), file.path()));
    }
    let mut held: u64 = kept.iter().map(|(_, len, _)| len).sum();
    if held <= KEPT {
        return Ok(());
    }
    kept.sort();
    for (_, len, path) in kept {
        if held <= LEFT {
            break;
        }
        fs::remove_file(path)?;
        held -= len;
    }
    Ok(())
}

/// A small picture of a large one.
pub(crate) fn shrink(original: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Undecodable(error.to_string());
    let reader = ImageReader::new(Cursor::new(original)).with_guessed_format();
    let mut reader = reader.map_err(|error| failed(&error))?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MEMORY);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(|error| failed(&error))?;
    limits.reserve(decoder.total_bytes()).map_err(|error| failed(&error))?;
    decoder.set_limits(limits).map_err(|error| failed(&error))?;
    // What cannot be read of it is no reason to show nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let whole = DynamicImage::from_decoder(decoder).map_err(|error| failed(&error))?;
    let is_small = whole.width() <= SIDE && whole.height() <= SIDE;
    let mut small = if is_small { whole } else { whole.thumbnail(SIDE, SIDE) };
    small.apply_orientation(orientation);
    let mut bytes = Vec::new();
    let written = match small.color().has_alpha() {
        true => {
            let small = DynamicImage::from(small.into_rgba8());
            small.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        }
        false => {
            JpegEncoder::new_with_quality(&mut bytes, QUALITY).encode_image(&small.into_rgb8())
        }
    };
    written.map(|()| bytes).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use image::codecs::png::PngEncoder;
    use image::codecs::tiff::TiffEncoder;
    use image::codecs::webp::WebPEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    use super::*;

    /// EXIF that tells of an orientation alone.
    fn exif(orientation: u8) -> Vec<u8> {
        let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
        exif
    }

    /// A picture of 600 to 300, red on the left and blue on the right, that is to be turned.
    fn turned(format: ImageFormat, orientation: u8) -> Vec<u8> {
        let colour = |x| if x < 300 { image::Rgb([255, 0, 0]) } else { image::Rgb([0, 0, 255]) };
        let picture = image::RgbImage::from_fn(600, 300, |x, _| colour(x));
        let mut bytes = Cursor::new(Vec::new());
        fn write(encoder: impl ImageEncoder, picture: &image::RgbImage) {
            let written = encoder.write_image(picture.as_raw(), 600, 300, ExtendedColorType::Rgb8);
            written.expect("encoded");
        }
        match format {
            ImageFormat::Png => {
                let mut encoder = PngEncoder::new(&mut bytes);
                encoder.set_exif_metadata(exif(orientation)).expect("taken");
                write(encoder, &picture);
            }
            ImageFormat::WebP => {
                let mut encoder = WebPEncoder::new_lossless(&mut bytes);
                encoder.set_exif_metadata(exif(orientation)).expect("taken");
                write(encoder, &picture);
            }
            ImageFormat::Jpeg => {
                let mut encoder = JpegEncoder::new_with_quality(&mut bytes, 100);
                encoder.set_exif_metadata(exif(orientation)).expect("taken");
                write(encoder, &picture);
            }
            _ => write(TiffEncoder::new(&mut bytes), &picture),
        }
        bytes.into_inner()
    }

    #[test]
    fn a_picture_is_turned_as_it_says() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            // 6: what is left of the bytes is above in the picture.
            let small = shrink(&turned(format, 6)).expect("made");
            let small = image::load_from_memory(&small).expect("a picture").into_rgb8();
            assert_eq!((small.width(), small.height()), (SIDE / 2, SIDE), "{format:?}");
            let (above, below) = (small.get_pixel(100, 20), small.get_pixel(100, 380));
            assert!(above[0] > 200 && below[2] > 200, "{format:?}: {above:?} {below:?}");
        }
        let mut tiff = turned(ImageFormat::Tiff, 1);
        assert_eq!(with_orientation(&mut tiff, 6), 1);
        let small = image::load_from_memory(&shrink(&tiff).expect("made")).expect("a picture");
        assert_eq!((small.width(), small.height()), (SIDE / 2, SIDE));
        let odd = shrink(&turned(ImageFormat::Png, 77)).expect("made");
        let odd = image::load_from_memory(&odd).expect("a picture");
        assert_eq!((odd.width(), odd.height()), (SIDE, SIDE / 2), "no orientation");
    }

    /// Makes the tag of a TIFF that nobody needs (`ResolutionUnit`) one of its orientation, and gives how
    /// many there were.
    fn with_orientation(tiff: &mut [u8], orientation: u16) -> usize {
        let unit = [0x28, 0x01, 3, 0, 1, 0, 0, 0];
        let places: Vec<usize> =
            (0..tiff.len() - 12).filter(|at| tiff[*at..*at + 8] == unit).collect();
        for at in &places {
            tiff[*at..*at + 2].copy_from_slice(&0x0112_u16.to_le_bytes());
            tiff[*at + 8..*at + 10].copy_from_slice(&orientation.to_le_bytes());
        }
        places.len()
    }

    fn png(side: u32, alpha: u8) -> Vec<u8> {
        let picture = image::RgbaImage::from_pixel(side, side / 2, image::Rgba([9, 8, 7, alpha]));
        let mut bytes = Vec::new();
        let whole = match alpha {
            255 => DynamicImage::from(DynamicImage::from(picture).into_rgb8()),
            _ => picture.into(),
        };
        whole.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).expect("encoded");
        bytes
    }

    #[test]
    fn a_large_picture_becomes_small_and_keeps_its_shape() {
        for (alpha, format) in [(255, ImageFormat::Jpeg), (100, ImageFormat::Png)] {
            let small = shrink(&png(1000, alpha)).expect("made");
            assert_eq!(image::guess_format(&small).ok(), Some(format));
            let small = image::load_from_memory(&small).expect("a picture");
            assert_eq!((small.width(), small.height()), (SIDE, SIDE / 2));
        }
        assert!(matches!(shrink(b"<svg/>"), Err(Error::Undecodable(_))));
        assert!(matches!(shrink(&png(1000, 255)[..200]), Err(Error::Undecodable(_))));
    }
}
