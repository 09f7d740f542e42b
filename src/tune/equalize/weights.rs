//! What of the weights of a layer counts for equalization: how large they are for each output and each input.

/// How the weights of a layer lie: what output and what input a number is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
    /// Groups of outputs and inputs that have nothing to do with each other.
    pub groups: usize,
    /// Numbers for each output and input.
    pub taps: usize,
    /// Whether inputs come first: in a transposed convolution, and in a matrix with a column for each output.
    pub inputs_first: bool,
}

impl Form {
    /// Inputs of a group.
    fn width(&self) -> usize {
        self.inputs / self.groups
    }

    /// How many numbers there are.
    pub fn count(&self) -> usize {
        self.outputs * self.width() * self.taps
    }

    /// The output and the input of the number at `index`.
    pub fn place(&self, index: usize) -> (usize, usize) {
        let (of_group, width) = (self.outputs / self.groups, self.width());
        let pair = index / self.taps;
        if self.inputs_first {
            let (input, output) = (pair / of_group, pair % of_group);
            return (input / width * of_group + output, input);
        }
        let (output, input) = (pair / width, pair % width);
        (output, output / of_group * width + input)
    }
}

/// The weights of a layer: of each output and each input that it reads, the largest number and the sum of squares.
#[derive(Debug, Clone)]
pub struct Weights {
    form: Form,
    /// For each output in turn, and in it for each input of its group.
    largest: Vec<f32>,
    squares: Vec<f32>,
}

impl Weights {
    /// Those of `numbers`, which lie in this form; `None` where they are not as many.
    pub fn new(form: Form, numbers: &[f32]) -> Option<Self> {
        if numbers.len() != form.count() {
            return None;
        }
        let width = form.width();
        let (mut largest, mut squares) = (vec![0f32; form.outputs * width], vec![0f32; form.outputs * width]);
        for (index, &number) in numbers.iter().enumerate() {
            let (output, input) = form.place(index);
            let at = output * width + input % width;
            largest[at] = largest[at].max(number.abs());
            squares[at] += number * number;
        }
        Some(Self { form, largest, squares })
    }

    /// How they lie.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Each entry's output and input.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let form = Form { taps: 1, inputs_first: false, ..self.form };
        (0..form.count()).map(move |index| form.place(index))
    }

    /// The largest weight of each output.
    pub fn of_outputs(&self) -> Vec<f64> {
        self.of_outputs_with(&vec![1.0; self.form.inputs])
    }

    /// The same once the weights of each input are multiplied by a factor.
    pub fn of_outputs_with(&self, factors: &[f64]) -> Vec<f64> {
        let mut found = vec![0f64; self.form.outputs];
        for ((output, input), &most) in self.places().zip(&self.largest) {
            found[output] = found[output].max(f64::from(most) * factors[input]);
        }
        found
    }

    /// The largest weight of each input.
    pub fn of_inputs(&self) -> Vec<f64> {
        let mut found = vec![0f64; self.form.inputs];
        for ((_, input), &most) in self.places().zip(&self.largest) {
            found[input] = found[input].max(f64::from(most));
        }
        found
    }

    /// The sum of squares of the weights of each input.
    pub fn squares_of_inputs(&self) -> Vec<f64> {
        let mut found = vec![0f64; self.form.inputs];
        for ((_, input), &square) in self.places().zip(&self.squares) {
            found[input] += f64::from(square);
        }
        found
    }

    /// The power that each output sums over, where that of a number of each input is this.
    pub fn power_of_outputs(&self, power: &[f64]) -> Vec<f64> {
        let Form { outputs, groups, taps, .. } = self.form;
        let of_group: Vec<f64> =
            power.chunks(self.form.width().max(1)).map(|own| own.iter().sum::<f64>() * taps as f64).collect();
        (0..outputs).map(|output| of_group.get(output / (outputs / groups).max(1)).copied().unwrap_or(0.0)).collect()
    }

    pub(super) fn divide_outputs(&mut self, factors: &[f64]) {
        self.scale(|output, _| 1.0 / factors[output]);
    }

    pub(super) fn multiply_inputs(&mut self, factors: &[f64]) {
        self.scale(|_, input| factors[input]);
    }

    fn scale(&mut self, factor: impl Fn(usize, usize) -> f64) {
        let form = Form { taps: 1, inputs_first: false, ..self.form };
        for (index, (most, square)) in self.largest.iter_mut().zip(&mut self.squares).enumerate() {
            let (output, input) = form.place(index);
            let factor = factor(output, input) as f32;
            *most *= factor;
            *square *= factor * factor;
        }
    }
}
