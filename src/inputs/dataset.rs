//! A set of samples of whatever kind: opened once, read as often as needed, one sample in memory at a time.

use super::arrays::{Arrays, Cursor, LABELS};
use super::levels::TakenLevels;
use super::listing::{Found, look};
use super::preprocess::{PictureSettings, Preprocess};
use super::recorded::{Outputs, Place};
use super::test_data::TestData;
use super::{InputSpec, OnBadFile, Sample, Source, labels, picture};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The kinds of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Picture files.
    Pictures,
    /// Numpy archives.
    Npz,
    /// Numpy arrays.
    Npy,
    /// ONNX test data sets.
    TestData,
}

/// What was found, for the report.
#[derive(Debug, Clone)]
pub struct Description {
    /// Where, as the user named it.
    pub path: PathBuf,
    /// What.
    pub kind: Kind,
    /// Number of samples.
    pub count: usize,
    /// What is done to the pictures; `None` for other kinds.
    pub pictures: Option<PictureSettings>,
    /// What was left out, ignored or looks unintended, a sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, path) = (self.count, self.path.display());
        match (self.kind, &self.pictures) {
            (Kind::Pictures, Some(settings)) => write!(f, "{count} pictures from {path}, {settings}")?,
            (Kind::Pictures, None) => write!(f, "{count} pictures from {path}")?,
            (Kind::Npz, _) => write!(f, "{count} samples from {path} (.npz)")?,
            (Kind::Npy, _) => write!(f, "{count} samples from {path} (.npy)")?,
            (Kind::TestData, _) => write!(f, "{count} test data sets from {path}")?,
        }
        self.notes.iter().try_for_each(|note| write!(f, "; {note}"))
    }
}

enum Samples {
    Pictures { files: Vec<PathBuf>, settings: PictureSettings },
    Arrays(Arrays),
    TestData(TestData),
}

struct Inner {
    samples: Samples,
    labels: Option<Vec<u32>>,
    texts: Option<Vec<String>>,
    on_bad_file: OnBadFile,
    description: Description,
    /// What was wrong with each file passed over, in the order of the names, whichever thread met it first.
    skipped: Mutex<BTreeMap<String, String>>,
}

/// Samples for a model. Cheap to clone; readers may run at the same time in several threads.
#[derive(Clone)]
pub struct Dataset {
    inner: Arc<Inner>,
    /// For each input that takes levels: what they are.
    levels: Arc<[Option<TakenLevels>]>,
    /// Outputs recorded beside the inputs.
    outputs: Option<Arc<Outputs>>,
}

impl Dataset {
    /// Finds out what `source` holds and checks it against the graph's `inputs`. Reads names, headers and labels only:
    /// no picture is decoded and no row of an array is read.
    ///
    /// A model that fixes its batch to B > 1 gets each picture B times, or B consecutive rows of the arrays as one
    /// sample; rows that do not fill a batch at the end are left out, and [`Description::notes`] says so.
    ///
    /// # Errors
    /// When nothing usable is there, an array or file is missing or damaged, a type or shape does not fit the model,
    /// something about the pictures has to be given, or the labels do not match. The message says what was found and
    /// what would be accepted.
    pub fn open(source: &Source, inputs: &[InputSpec]) -> Result<Self> {
        let found = look(&source.path, source.labels.as_deref())?;
        let mut notes = Vec::new();
        let kind = match &found {
            Found::Pictures { .. } => Kind::Pictures,
            Found::Npz(_) => Kind::Npz,
            Found::Npy { .. } => Kind::Npy,
            Found::TestData(_) => Kind::TestData,
        };
        if kind != Kind::Pictures && source.preprocess != Preprocess::default() {
            notes.push("data.preprocess has no effect: the data are not pictures".to_owned());
        }
        let (mut embedded, mut texts) = (None, None);
        let mut root = None;
        let samples = match found {
            Found::Pictures { root: folder, files } => {
                let settings = picture_settings(source, inputs)?;
                notes.extend(source.preprocess.doubts());
                root = Some(folder);
                Samples::Pictures { files, settings }
            }
            Found::TestData(folders) => Samples::TestData(TestData::open(folders, inputs, source.on_bad_file)?),
            arrays @ (Found::Npz(_) | Found::Npy { .. }) => {
                let mut arrays = Arrays::open(&arrays, inputs)?;
                notes.append(&mut arrays.notes);
                embedded = arrays.labels.take();
                texts = arrays.texts.take();
                Samples::Arrays(arrays)
            }
        };
        let count = samples.len();
        let labels = match &source.labels {
            None => embedded,
            Some(path) => {
                if let Samples::Arrays(arrays) = &samples
                    && arrays.batch() > 1
                {
                    let batch = arrays.batch();
                    return Err(Error::file(
                        path,
                        format!("a sample of {batch} rows, the model's fixed batch, has no single label"),
                    ));
                }
                if embedded.is_some() || texts.take().is_some() {
                    notes.push(format!("{LABELS} ignored: labels come from {}", path.display()));
                }
                let pictures = match &samples {
                    Samples::Pictures { files, .. } => root.as_deref().map(|root| (root, files.as_slice())),
                    _ => None,
                };
                Some(labels::read(path, count, pictures)?)
            }
        };
        let pictures = match &samples {
            Samples::Pictures { settings, .. } => Some(settings.clone()),
            _ => None,
        };
        let description = Description { path: source.path.clone(), kind, count, pictures, notes };
        tracing::debug!("{description}");
        let (on_bad_file, skipped) = (source.on_bad_file, Mutex::default());
        let inner = Arc::new(Inner { samples, labels, texts, on_bad_file, description, skipped });
        Ok(Self { inner, levels: Arc::new([]), outputs: None })
    }

    /// The same samples for a model some of whose inputs take levels where those read `(level - zero) * scale`: one entry
    /// for each input. A sample much of which is no level is refused.
    #[must_use]
    pub fn with_levels(self, levels: Vec<Option<TakenLevels>>) -> Self {
        Self { levels: levels.into(), ..self }
    }

    /// The same samples with the outputs called `names` that were recorded beside them: in the same archive, or as the
    /// `output_J.pb` of test data. Samples that are read have them in [`Sample::recorded`].
    ///
    /// # Errors
    /// When one is missing, is not as many as the samples are, or the data are of a kind that holds no outputs.
    pub fn with_outputs(self, names: &[String]) -> Result<Self> {
        let outputs = match &self.inner.samples {
            Samples::Arrays(arrays) if self.inner.description.kind == Kind::Npz => match arrays.only_file() {
                Some(file) => Outputs::of_archive(file, arrays.inputs(), names, arrays.len())?,
                None => return Err(Error::file(&self.inner.description.path, "is a folder of archives; name one")),
            },
            Samples::TestData(sets) => Outputs::of_sets(sets.folders(), names)?,
            Samples::Arrays(_) | Samples::Pictures { .. } => {
                let why = "holds no outputs; a reference is an .npz with an array for each input and output, or a folder of \
                           test_data_set_*/{input,output}_*.pb";
                return Err(Error::file(&self.inner.description.path, why));
            }
        };
        Ok(Self { outputs: Some(Arc::new(outputs)), ..self })
    }

    /// Number of samples, counting bad files, which are not known before they are read.
    pub fn len(&self) -> usize {
        self.inner.description.count
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every sample has a label.
    pub fn has_labels(&self) -> bool {
        self.inner.labels.is_some()
    }

    /// What was found, for the report.
    pub fn describe(&self) -> &Description {
        &self.inner.description
    }

    /// Reads the samples at `indices`, which ascend, one after the other.
    ///
    /// Pictures, uncompressed arrays and test data are sought directly; a compressed array is streamed forward and what
    /// lies between is dropped. The reader ends after the first error. With [`OnBadFile::Skip`], a picture or test data
    /// set that cannot be read is passed over, so fewer samples than indices may come; a damaged array always ends it.
    pub fn read(&self, indices: &[usize]) -> Reader {
        let indices: VecDeque<usize> = indices.iter().copied().collect();
        let (data, levels) = (Arc::clone(&self.inner), Arc::clone(&self.levels));
        let outputs = self.outputs.as_ref().map(|outputs| (Arc::clone(outputs), Place::default()));
        Reader { data, levels, outputs, indices, cursor: Cursor::default(), ended: false }
    }

    /// The files passed over so far by any reader, each with what was wrong with it, sorted by name.
    pub fn skipped(&self) -> Vec<String> {
        self.inner.skipped().values().cloned().collect()
    }
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dataset").field(&self.inner.description).finish()
    }
}

fn picture_settings(source: &Source, inputs: &[InputSpec]) -> Result<PictureSettings> {
    if let [input] = inputs {
        return source.preprocess.resolve(input);
    }
    let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
    let count = inputs.len();
    let message = format!("found pictures, which feed a model of one input; this one has {count}: {names:?}");
    Err(Error::file(&source.path, message))
}

impl Samples {
    fn len(&self) -> usize {
        match self {
            Self::Pictures { files, .. } => files.len(),
            Self::Arrays(arrays) => arrays.len(),
            Self::TestData(sets) => sets.len(),
        }
    }
}

impl Inner {
    fn skipped(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        // A thread that died while it held the lock left whole entries behind.
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sample `index`; `None` where it was passed over.
    fn sample(&self, index: usize, cursor: &mut Cursor) -> Result<Option<Sample>> {
        let beyond = || Error::other(format!("there is no sample {index}, only {}", self.description.count));
        let (name, inputs) = match &self.samples {
            Samples::Arrays(arrays) => {
                let (name, inputs) = arrays.sample(index, cursor)?;
                (name, Ok(inputs))
            }
            Samples::Pictures { files, settings } => {
                let file = files.get(index).ok_or_else(beyond)?;
                (file.display().to_string(), picture::read(file, settings).map(|tensor| vec![tensor]))
            }
            Samples::TestData(sets) => {
                let folder = sets.folder(index).ok_or_else(beyond)?;
                (folder.display().to_string(), sets.sample(folder))
            }
        };
        match inputs {
            Ok(inputs) => {
                let label = self.labels.as_ref().and_then(|labels| labels.get(index)).copied();
                let text = self.texts.as_ref().and_then(|texts| texts.get(index)).cloned();
                Ok(Some(Sample { name, inputs, label, text, recorded: Vec::new() }))
            }
            Err(error) if self.on_bad_file == OnBadFile::Skip => {
                tracing::warn!("skipped: {error}");
                self.skipped().insert(name, error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The samples that were asked of [`Dataset::read`], in that order.
pub struct Reader {
    data: Arc<Inner>,
    levels: Arc<[Option<TakenLevels>]>,
    outputs: Option<(Arc<Outputs>, Place)>,
    indices: VecDeque<usize>,
    cursor: Cursor,
    ended: bool,
}

impl Iterator for Reader {
    type Item = Result<Sample>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let Some(index) = self.indices.pop_front() else { break };
            let sample = self.data.sample(index, &mut self.cursor);
            let sample =
                sample.and_then(|sample| sample.map(|sample| TakenLevels::all_of(sample, &self.levels)).transpose());
            let with_outputs = |mut sample: Option<Sample>| {
                if let (Some(sample), Some((outputs, place))) = (&mut sample, &mut self.outputs) {
                    sample.recorded = outputs.read(index, &sample.name, place)?;
                }
                Ok(sample)
            };
            match sample.and_then(with_outputs) {
                Ok(Some(sample)) => return Some(Ok(sample)),
                Ok(None) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        self.ended = true;
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(if self.ended { 0 } else { self.indices.len() }))
    }
}

impl std::iter::FusedIterator for Reader {}
