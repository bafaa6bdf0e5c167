"""What a device is made of, checked on construction: levels, arrays, writing, components, the host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from cyclecast.device import _rules
from cyclecast.errors import DeviceError
from cyclecast.units import Area, Bandwidth, Energy, Frequency, Power, Size, Time

MOST = 1_000_000
"""The largest count; a typo beyond it is refused instead of scheduled for."""


Quantity = TypeVar("Quantity", Time, Frequency, Bandwidth, Size, Power, Energy, Area)


def _within(least: Quantity, most: Quantity) -> AfterValidator:
    """Refuses quantities that no device has: slips of a unit or of a digit, on which times and sums would overflow."""

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
    """Frozen, without unknown fields; a field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    rules: ClassVar[tuple[Callable[[Any], Iterator[DeviceError]], ...]] = ()
    """What its fields must be to each other."""

    @model_validator(mode="after")
    def _keeps_its_rules(self) -> Self:
        for rule in self.rules:
            for mistake in rule(self):
                raise mistake
        return self


class Bits(Part):
    """The widths of the values that the device multiplies."""

    activation: Precision = 8
    """Bits of an input value: 2 to 16 for networks; 1 is for workloads of your own."""
    weight: Precision = 8
    """Bits of a weight: 2 to 16 for networks; 1 is for workloads of your own."""


class Event(StrEnum):
    """What a component can spend its energy on; counted by `cyclecast.timing.events`."""

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
        """Whether full load says how many there are in a second; else a component has to state its energy."""
        return self in (Event.PRODUCT, Event.CONVERSION, Event.ROW_DRIVE, Event.CELL_READ)


class Component(Part):
    """A group of equal parts that draw power and take area, such as the ADCs of a CU."""

    rules = (
        _rules.energy_has_an_event,
        _rules.event_has_an_energy,
    )
    name: Identifier
    """What breakdowns call it."""
    count: Count = 1
    """Parts in the group; for the reader, as power and area are those of the whole group."""
    power: Drawn
    """Drawn by the whole group at full load."""
    area: Taken
    """Taken by the whole group."""
    per: Count = 1
    """Instances that share the group, each counted with its share: 4 for a router of four PEs."""
    event: Event | None = None
    """What it spends its energy on; without one it draws its power as long as its instance is in use."""
    energy: Spent | None = None
    """Of one event; if not said, what the power comes to at full load, where that says how many events there are."""


class Level(Part):
    """A tier of the device, such as its PEs."""

    name: Identifier
    """What mappings and reports call it."""
    count: Count
    """Instances inside one instance of the level above; of the outermost level, inside the device."""
    input_bandwidth: Flow | None = None
    """Bytes of input that one instance can take per second; none means that this never limits."""
    output_bandwidth: Flow | None = None
    """Bytes of output that one instance can hand on per second; none means that this never limits."""
    shared_port: StrictBool = False
    """Whether inputs and outputs of an instance take turns on one port."""
    merge_bandwidth: Flow | None = None
    """Bytes of partial sums that one instance can take from its neighbours per second; none: this never limits."""
    merge_hop: Duration = Time(0)
    """One step of the tree in which neighbouring instances add their partial sums."""
    buffer: Capacity | None = None
    """Bytes that one instance can keep of what the workloads in it still need; none means that this never limits."""
    components: tuple[Component, ...] = ()
    """What one instance is made of besides the levels inside it; none means no power and no area."""


class Write(Part):
    """How cells are programmed."""

    pulse: Duration
    """The length of one programming pulse."""
    verify: Duration
    """The read that checks a pulse; "0 fs" without one."""
    pulses: Count
    """Pulses, each with its check, that a cell takes."""
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
    """How often a cell can be programmed; none means that this is not known."""


class Encoding(StrEnum):
    """How cells, which hold no negative values, hold a signed weight."""

    OFFSET = "offset"
    """With half the range added, corrected by the sum of the inputs (ISAAC)."""
    DIFFERENTIAL_COLUMNS = "differential_columns"
    """Magnitude in one of two columns, converted apart and subtracted."""
    DIFFERENTIAL_ROWS = "differential_rows"
    """Magnitude in one of two word lines that are driven with opposite signs, subtracted on the bit line (NeuRRAM)."""


class Inputs(StrEnum):
    """How input steps apply a signed value."""

    TWOS_COMPLEMENT = "twos_complement"
    """Every bit is applied, the highest counting negatively (ISAAC)."""
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
    """Whether word lines and bit lines that hold no weight take no time."""
    cell_bits: Width
    """Bits of a weight that one cell holds: the width of a bit slice."""
    encoding: Encoding = Encoding.OFFSET
    """How cells hold a signed weight."""
    dac_bits: Width
    """Bits of an input that one input step applies."""
    inputs: Inputs = Inputs.TWOS_COMPLEMENT
    """How an input step applies a value with a sign."""
    digital: StrictBool = False
    """Whether sums are added up digitally: exact, and without ADCs, so that no `adc_...` field is said."""
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
    """From an input step to its held sums: one cycle."""
    input_pulse: Duration = Time(0)
    """On top of a read, each pulse of an input step: as many as its largest value where inputs are counts of pulses."""
    write: Write
    """How its cells are programmed."""

    @property
    def rows_per_weight(self) -> int:
        """Word lines that one reduction value takes."""
        return 2 if self.encoding is Encoding.DIFFERENTIAL_ROWS else 1

    @property
    def signed_sums(self) -> bool:
        """Whether the sum of a bit line can be negative, so that its converter has a sign."""
        return self.inputs is Inputs.SIGN_MAGNITUDE or self.encoding is Encoding.DIFFERENTIAL_ROWS

    @property
    def flips_columns(self) -> bool:
        """Whether columns are stored flipped to save a bit; a sum over differential rows would only change its sign."""
        return self.adc_saves_bit and self.encoding is not Encoding.DIFFERENTIAL_ROWS

    @property
    def largest_sum(self) -> int:
        """The most that one bit line can add up in one read, whatever its sign."""
        return self._most_of(self.active_rows)

    @property
    def lossless_adc_bits(self) -> int:
        """The least resolution that tells all sums apart, a sign included.

        For as many active rows as a power of two this is the formula of Shafiee et al., ISCA 2016, section V.
        """
        return self.exact_adc_bits(self.active_rows)

    def exact_adc_bits(self, rows: int) -> int:
        """The least resolution that tells the sums of so many word lines apart; a read has at most `active_rows`."""
        return max(1, self._most_of(min(rows, self.active_rows)).bit_length() + self.signed_sums)

    def _most_of(self, rows: int) -> int:
        """Of a pair of word lines only one adds up; a flipped column holds at most half of what its cells can."""
        cells = -(-rows // self.rows_per_weight) * ((1 << self.cell_bits) - 1)
        return (cells // 2 if self.flips_columns else cells) * ((1 << self.dac_bits) - 1)

    @property
    def is_exact(self) -> bool:
        """Whether no sum is lost in conversion."""
        return self.digital or self.adc_bits >= self.lossless_adc_bits


class Pipeline(Part):
    """What happens around the arrays."""

    rules = (
        _rules.cycles_before_the_array_exist,
        _rules.cycles_after_the_array_exist,
    )
    fill: Annotated[int, Field(strict=True, ge=0, le=MOST)]
    """Cycles outside the arrays from the first input to the first result; a cycle is one read of an array."""
    before: Annotated[int, Field(strict=True, ge=0, le=MOST)] = Field(
        default_factory=lambda fields: min(1, fields["fill"])
    )
    """Cycles of these before the array, which hide transfers into it; one, if there are any, unless said."""
    write_back: Annotated[int, Field(strict=True, ge=0, le=MOST)] = Field(
        default_factory=lambda fields: int(fields["fill"] - fields["before"] > 1)
    )
    """The last cycles of these, which hide a transfer of results; one, if two come after the array, unless said."""


class Mesh(Part):
    """The network on the chip between instances of the outermost level: a mesh of routers."""

    rows: Count
    """Of routers."""
    cols: Count
    """Of routers; the instances are dealt to them in turn, equally many to each."""
    bandwidth: Flow
    """Bytes that one link between two neighbouring routers can carry per second."""
    hop: Duration
    """From one router to the next."""


class Dynamic(StrEnum):
    """Who multiplies two operands that are both computed, such as queries and keys."""

    HOST = "host"
    """The host, or a digital unit."""
    ARRAYS = "arrays"
    """Arrays: one of the operands is written into them every time."""


class Host(Part):
    """The processor that computes what arrays do not: a roofline."""

    operations: Rate = Frequency(8 * 10**12)
    """Elementary operations (additions, multiplications, comparisons) per second."""
    bandwidth: Flow = Bandwidth(12_800_000_000)
    """Bytes that it can load and store per second."""
