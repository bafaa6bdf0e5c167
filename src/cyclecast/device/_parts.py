"""The parts of a device, checked on construction: levels, arrays, writing, components, the host.

The docstring of a field is its description in the JSON Schema and in messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from cyclecast.device import _rules
from cyclecast.errors import DeviceError
from cyclecast.units import Area, Bandwidth, Energy, Frequency, Power, Size, Time

MOST = 1_000_000
"""Largest count; a larger one is a typing error."""


Quantity = TypeVar("Quantity", Time, Frequency, Bandwidth, Size, Power, Energy, Area)


def _within(least: Quantity, most: Quantity) -> AfterValidator:
    """A validator that refuses quantities outside these limits: slips of a unit or a digit, or sums that overflow."""

    def check(value: Quantity) -> Quantity:
        if not least <= value <= most:
            bound, nearest = ("at least", least) if value < least else ("at most", most)
            raise DeviceError("", f"{value}", f"{bound} {nearest} is possible", f"'{nearest}'")
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Width = Annotated[int, Field(strict=True, ge=1, le=32)]
Precision = Annotated[int, Field(strict=True, ge=1, le=16)]
Duration = Annotated[Time, _within(Time(0), Time.parse("1000000000 s"))]
Rate = Annotated[Frequency, _within(Frequency.parse("1 Hz"), Frequency.parse("1000000 THz"))]
Flow = Annotated[Bandwidth, _within(Bandwidth(1), Bandwidth.parse("1000000 TB/s"))]
Capacity = Annotated[Size, _within(Size(0), Size.parse("1024 TiB"))]
Drawn = Annotated[Power, _within(Power(0), Power.parse("1000000 kW"))]
Spent = Annotated[Energy, _within(Energy(0), Energy.parse("1 J"))]
Taken = Annotated[Area, _within(Area(0), Area.parse("1000000 mm2"))]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class Part(BaseModel):
    """Base of all parts of a device: frozen, without unknown fields; a field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    rules: ClassVar[tuple[Callable[[Any], Iterator[DeviceError]], ...]] = ()
    """Rules between its fields."""

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        for rule in self.rules:
            for mistake in rule(self):
                raise mistake
        return self


class Bits(Part):
    """Widths of the values that the device multiplies."""

    activation: Precision = 8
    """Bits of an input value: 2 to 16 for networks; 1 is for workloads of your own."""
    weight: Precision = 8
    """Bits of a weight: 2 to 16 for networks; 1 is for workloads of your own."""


class Event(StrEnum):
    """Events that cost energy; `cyclecast.timing.events` counts them."""

    PRODUCT = "product"
    """A matrix-vector product of one array, with all its input steps."""
    CONVERSION = "conversion"
    """A conversion of one bit line's sum."""
    ROW_DRIVE = "row_drive"
    """One input step applied to one word line."""
    CELL_READ = "cell_read"
    """One cell in one read."""
    CELL_WRITE = "cell_write"
    """One cell programmed during inference."""
    INPUT_BYTE = "input_byte"
    """A byte of input into an instance of the level; of a component of the device itself, into the device."""
    OUTPUT_BYTE = "output_byte"
    """A byte of output out of it."""
    PORT_BYTE = "port_byte"
    """A byte of input or output."""
    MERGE_BYTE = "merge_byte"
    """A byte of partial sums between instances of the level."""

    @property
    def has_peak(self) -> bool:
        """Whether the events per second at full load are known; else a component with the event must have an energy."""
        return self in (Event.PRODUCT, Event.CONVERSION, Event.ROW_DRIVE, Event.CELL_READ)


class Component(Part):
    """Component: a group of equal parts with power and area, such as the ADCs of a CU."""

    rules = (
        _rules.energy_has_an_event,
        _rules.event_has_an_energy,
    )
    name: Identifier
    """Name of the component in breakdowns."""
    count: Count = 1
    """Number of parts in the group, for the reader; power and area are those of the whole group."""
    power: Drawn
    """Power of the whole group at full load."""
    area: Taken
    """Area of the whole group."""
    per: Count = 1
    """Number of instances that share the group: 4 for a router of four PEs."""
    event: Event | None = None
    """Event that costs its energy; without one it draws its power while its instance is in use."""
    energy: Spent | None = None
    """Energy of one event; default power / events per second at full load, for events that have a full load."""


class OperationClass(StrEnum):
    """Classes of elementary operations that digital units do; the front end counts them."""

    ADD = "add"
    """An addition or subtraction, of a bias or a residual sum too."""
    MULTIPLY = "multiply"
    """A multiplication, for example by a scale."""
    COMPARE = "compare"
    """A comparison: one for ReLU, two for clipping."""
    SHIFT = "shift"
    """The rescaling of a sum to the width of an activation."""
    DIVIDE = "divide"
    """A division."""
    LOOKUP = "lookup"
    """The value of a function of one variable, such as sigmoid, exp or GELU."""
    REDUCE = "reduce"
    """An addition into a sum over many pixels or values, for example of average pooling."""
    POOL = "pool"
    """A comparison of maximum pooling."""
    SOFTMAX = "softmax"
    """One value of a softmax."""
    NORMALISE = "normalise"
    """One value of a layer normalisation."""


class Unit(Part):
    """Digital unit: a group of equal parts that compute what arrays do not, such as activations."""

    name: Identifier
    """Name of the unit in reports and breakdowns."""
    count: Count = 1
    """Number of parts in the group; they work at the same time."""
    does: Annotated[tuple[OperationClass, ...], Field(min_length=1)]
    """Classes of operations that it can do."""
    rate: Rate
    """Operations per second of one part."""
    power: Drawn
    """Power of the whole group while its instance is in use."""
    area: Taken
    """Area of the whole group."""
    per: Count = 1
    """Number of instances that share the group."""
    energy: Spent = Energy(0)
    """Energy of one operation, beside the power; default 0."""

    @property
    def speed(self) -> Frequency:
        """Operations per second of the whole group."""
        return Frequency(self.count * self.rate.millihertz)

    @property
    def component(self) -> Component:
        """The same as a component without an event: it draws its power while its instance is in use (A17)."""
        return Component(name=self.name, count=self.count, power=self.power, area=self.area, per=self.per)


class Level(Part):
    """Level of the device, such as its PEs."""

    name: Identifier
    """Name of the level in mappings and reports."""
    count: Count
    """Number of instances in one instance of the level above; of the outermost level, in the device."""
    input_bandwidth: Flow | None = None
    """Input bandwidth of one instance in bytes per second; default unlimited."""
    output_bandwidth: Flow | None = None
    """Output bandwidth of one instance in bytes per second; default unlimited."""
    shared_port: StrictBool = False
    """Whether inputs and outputs of an instance share one port."""
    merge_bandwidth: Flow | None = None
    """Bandwidth of partial sums from its neighbours into one instance in bytes per second; default unlimited."""
    merge_hop: Duration = Time(0)
    """Time of one step of the tree in which neighbouring instances add up their partial sums."""
    buffer: Capacity | None = None
    """Buffer of one instance in bytes, for inputs that wait; default unlimited."""
    components: tuple[Component, ...] = ()
    """Components of one instance beside the levels inside it; without any, no power and no area."""
    units: tuple[Unit, ...] = ()
    """Digital units of one instance; without any, the host computes what arrays do not."""


class Write(Part):
    """Write: how cells are programmed."""

    pulse: Duration
    """Length of one programming pulse."""
    verify: Duration
    """Time of the read that checks a pulse; "0 fs" without one."""
    pulses: Count
    """Number of pulses, each with its check, that a cell needs."""
    rows: Count
    """Word lines of an array programmed at the same time; more than the array has means all."""
    cols: Count
    """Bit lines of an array programmed at the same time; more than the array has means all."""
    arrays: Count
    """Arrays programmed at the same time, on the whole device; more than it has means all."""
    during_inference: StrictBool = True
    """Whether arrays may be programmed while a network runs; if not, each workload's weights must fit the device."""
    while_computing: StrictBool = False
    """Whether some arrays may be programmed while others compute."""
    endurance: Annotated[int, Field(strict=True, ge=1, le=10**18)] | None = None
    """Number of writes that a cell can stand; default unknown."""


class Encoding(StrEnum):
    """Encoding of signed weights in cells, which hold no negative values."""

    OFFSET = "offset"
    """Half the range is added to the weight, and corrected by the sum of the inputs (ISAAC)."""
    DIFFERENTIAL_COLUMNS = "differential_columns"
    """The magnitude is in one of two columns, which are converted separately and subtracted."""
    DIFFERENTIAL_ROWS = "differential_rows"
    """The magnitude is in one of two word lines with opposite drive; the bit line subtracts them (NeuRRAM)."""


class Inputs(StrEnum):
    """Form in which input steps apply a signed value."""

    TWOS_COMPLEMENT = "twos_complement"
    """Every bit is applied; the highest counts negatively (ISAAC)."""
    SIGN_MAGNITUDE = "sign_magnitude"
    """The sign is the polarity of the drive and takes no step; the most negative value is not used (NeuRRAM)."""


class Array(Part):
    """A grid of cells with its converters: digital in, digital out."""

    rules = (
        _rules.active_rows_exist,
        _rules.active_cols_exist,
        _rules.adcs_have_columns,
        _rules.read_takes_time,
        _rules.pulses_can_be_counted,
        _rules.adcs_are_of_analog_arrays,
        _rules.analog_arrays_have_adcs,
        _rules.pairs_have_two_rows,
    )
    rows: Count
    """Word lines; each takes one input."""
    cols: Count
    """Bit lines; each gives one sum."""
    active_rows: Count = Field(default_factory=lambda fields: fields["rows"])
    """Word lines read at once; all of them if not said."""
    active_cols: Count = Field(default_factory=lambda fields: fields["cols"])
    """Bit lines read at once; all of them if not said."""
    skips_unused: StrictBool = True
    """Whether word lines and bit lines without weights take no time."""
    cell_bits: Width
    """Bits of a weight that one cell holds: the width of a bit slice."""
    encoding: Encoding = Encoding.OFFSET
    """Encoding of a signed weight in cells."""
    dac_bits: Width
    """Bits of an input that one input step applies."""
    inputs: Inputs = Inputs.TWOS_COMPLEMENT
    """Form in which an input step applies a signed value."""
    digital: StrictBool = False
    """Whether sums are added up digitally: they are exact, and no `adc_...` field is allowed."""
    adc_bits: Width = 32
    """Resolution of the ADC."""
    adc_saves_bit: StrictBool = False
    """Whether weights are encoded so that the largest sum is halved (ISAAC's flipped columns)."""
    adc_rate: Rate = Frequency(10**18)
    """Conversions per second of one ADC; of a bit-serial one, bits of conversions."""
    adcs: Count = Field(default_factory=lambda fields: fields["cols"])
    """ADCs that share the bit lines of one array."""
    adc_overlap: StrictBool = True
    """Whether the sums of one input step are converted during the read of the next."""
    adc_bit_serial: StrictBool = False
    """Whether a conversion takes a step for each of its bits."""
    adc_residue: StrictBool = False
    """Whether a conversion leaves out as many bits as the input steps before it have applied (NeuRRAM)."""
    read: Duration
    """Time from an input step to its held sums: one cycle."""
    input_pulse: Duration = Time(0)
    """Time that each pulse of an input step adds to a read, if inputs are numbers of pulses: up to 2^dac_bits - 1."""
    write: Write
    """Writing of its cells."""

    @property
    def rows_per_weight(self) -> int:
        """Number of word lines of one reduction value."""
        return 2 if self.encoding is Encoding.DIFFERENTIAL_ROWS else 1

    @property
    def signed_sums(self) -> bool:
        """Whether the sum of a bit line can be negative; its converter then has a sign."""
        return self.inputs is Inputs.SIGN_MAGNITUDE or self.encoding is Encoding.DIFFERENTIAL_ROWS

    @property
    def flips_columns(self) -> bool:
        """Whether columns are stored flipped to save a bit; a sum over differential rows would only change its sign."""
        return self.adc_saves_bit and self.encoding is not Encoding.DIFFERENTIAL_ROWS

    @property
    def largest_sum(self) -> int:
        """Largest magnitude of a bit line's sum in one read."""
        return self._most_of(self.active_rows)

    @property
    def lossless_adc_bits(self) -> int:
        """Least resolution of an ADC that loses no sum of a read, a sign included [bits].

        If the number of active rows is a power of two, it is the formula of Shafiee et al., ISCA 2016, section V.
        """
        return self.exact_adc_bits(self.active_rows)

    def exact_adc_bits(self, rows: int) -> int:
        """Least resolution that loses no sum of `rows` word lines [bits]; a read has at most `active_rows`."""
        return max(1, self._most_of(min(rows, self.active_rows)).bit_length() + self.signed_sums)

    def _most_of(self, rows: int) -> int:
        """Largest sum of `rows` word lines: one of a pair counts; a flipped column holds at most half of its range."""
        cells = -(-rows // self.rows_per_weight) * ((1 << self.cell_bits) - 1)
        return (cells // 2 if self.flips_columns else cells) * ((1 << self.dac_bits) - 1)

    @property
    def is_exact(self) -> bool:
        """Whether no sum is lost in conversion."""
        return self.digital or self.adc_bits >= self.lossless_adc_bits


class Pipeline(Part):
    """Pipeline cycles around the arrays."""

    rules = (
        _rules.cycles_before_the_array_exist,
        _rules.cycles_after_the_array_exist,
    )
    fill: Annotated[int, Field(strict=True, ge=0, le=MOST)]
    """Cycles outside the arrays from the first input to the first result; a cycle is one read of an array."""
    before: Annotated[int, Field(strict=True, ge=0, le=MOST)] = Field(
        default_factory=lambda fields: min(1, fields["fill"])
    )
    """Cycles of the fill before the array, which hide transfers into it; default one, if there are any."""
    write_back: Annotated[int, Field(strict=True, ge=0, le=MOST)] = Field(
        default_factory=lambda fields: int(fields["fill"] - fields["before"] > 1)
    )
    """Last cycles of the fill, which hide a transfer of results; default one, if two come after the array."""


class Mesh(Part):
    """Network on the chip between instances of the outermost level: a mesh of routers."""

    rows: Count
    """Rows of routers."""
    cols: Count
    """Columns of routers; every router has an equal number of instances, in order."""
    bandwidth: Flow
    """Bandwidth of one link between two neighbouring routers in bytes per second."""
    hop: Duration
    """Time from one router to the next."""


class Dynamic(StrEnum):
    """Who computes products of two computed operands, such as queries and keys."""

    HOST = "host"
    """The host, or a digital unit."""
    ARRAYS = "arrays"
    """Arrays: one of the operands is written into them every time."""


class Host(Part):
    """Processor for the operators that arrays do not compute, as a roofline."""

    operations: Rate = Frequency(8 * 10**12)
    """Elementary operations (additions, multiplications, comparisons) per second."""
    bandwidth: Flow = Bandwidth(12_800_000_000)
    """Bytes loaded and stored per second."""
