"""What a device is made of, checked on construction: levels, arrays, writing, components, the host."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from cyclecast.errors import DeviceError
from cyclecast.units import Area, Bandwidth, Energy, Frequency, Power, Size, Time

MOST = 1_000_000
"""The largest count; a typo beyond it is refused instead of scheduled for."""

Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
Width = Annotated[int, Field(strict=True, ge=1, le=32)]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]


class Part(BaseModel):
    """Frozen, without unknown fields; a field's docstring is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bits(Part):
    """The widths of the values that the device multiplies."""

    activation: Width = 8
    """Bits of an input value."""
    weight: Width = 8
    """Bits of a weight."""


class Event(StrEnum):
    """What a component can spend its energy on; counted by `cyclecast.work.events`."""

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

    name: Identifier
    """What breakdowns call it."""
    count: Count = 1
    """Parts in the group; for the reader, as power and area are those of the whole group."""
    power: Power
    """Drawn by the whole group at full load."""
    area: Area
    """Taken by the whole group."""
    per: Count = 1
    """Instances that share the group, each counted with its share: 4 for a router of four PEs."""
    event: Event | None = None
    """What it spends its energy on; without one it draws its power as long as its instance is in use."""
    energy: Energy | None = None
    """Of one event; if not said, what the power comes to at full load, where that says how many events there are."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.energy is not None and self.event is None:
            raise DeviceError("energy", f"{self.energy} of no event", "an energy is that of one event", "an 'event:'")
        if self.event is not None and self.energy is None and not self.event.has_peak:
            known = ", ".join(event for event in Event if event.has_peak)
            raise DeviceError(
                "event", f"'{self.event}' without an energy", f"full load counts only {known}", "an 'energy:' of one"
            )
        return self


class Level(Part):
    """A tier of the device, such as its PEs."""

    name: Identifier
    """What mappings and reports call it."""
    count: Count
    """Instances inside one instance of the level above; of the outermost level, inside the device."""
    input_bandwidth: Bandwidth | None = None
    """Bytes of input that one instance can take per second; none means that this never limits."""
    output_bandwidth: Bandwidth | None = None
    """Bytes of output that one instance can hand on per second; none means that this never limits."""
    shared_port: StrictBool = False
    """Whether inputs and outputs of an instance take turns on one port."""
    merge_bandwidth: Bandwidth | None = None
    """Bytes of partial sums that one instance can take from its neighbours per second; none: this never limits."""
    merge_hop: Time = Time(0)
    """One step of the tree in which neighbouring instances add their partial sums."""
    buffer: Size | None = None
    """Bytes that one instance can keep of what the workloads in it still need; none means that this never limits."""
    components: tuple[Component, ...] = ()
    """What one instance is made of besides the levels inside it; none means no power and no area."""


class Write(Part):
    """How cells are programmed."""

    pulse: Time
    """The length of one programming pulse."""
    verify: Time
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


ADC_FIELDS = ("adc_bits", "adc_rate", "adcs", "adc_overlap")


class Array(Part):
    """A grid of cells with its converters: digital in, digital out."""

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
    """Whether sums are added up digitally: exact, and without ADCs, so that no adc_ field is said."""
    adc_bits: Width = 32
    """Resolution of the ADC."""
    adc_saves_bit: StrictBool = False
    """Whether weights are encoded so that the largest sum is halved (ISAAC's flipped columns)."""
    adc_rate: Frequency = Frequency(10**18)
    """Conversions per second of one ADC; of a bit-serial one, bits of conversions."""
    adcs: Count = Field(default_factory=lambda fields: fields["cols"])
    """ADCs that share the bit lines of one array."""
    adc_overlap: StrictBool = True
    """Whether the sums of one input step are converted during the read of the next."""
    adc_bit_serial: StrictBool = False
    """Whether a conversion takes a step for each of its bits."""
    adc_residue: StrictBool = False
    """Whether a conversion leaves out as many bits as the input steps before it have applied (NeuRRAM)."""
    read: Time
    """From an input step to its held sums: one cycle."""
    input_pulse: Time = Time(0)
    """On top of a read, each pulse of an input step: as many as its largest value where inputs are counts of pulses."""
    write: Write
    """How its cells are programmed."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for active, all_lines in (("active_rows", "rows"), ("active_cols", "cols"), ("adcs", "cols")):
            value, most = getattr(self, active), getattr(self, all_lines)
            if value > most:
                raise DeviceError(active, f"{value}", f"the array has {most} {all_lines}", f"{active}: {most}")
        if self.read == Time(0):
            raise DeviceError("read", f"{self.read}", "a read takes time", "'100 ns'")
        if self.input_pulse != Time(0) and self.dac_bits > 16:
            raise DeviceError("dac_bits", f"{self.dac_bits} bits as pulses", "16 bits are 65,535 pulses", "16")
        said = {field for field in type(self).model_fields if field.startswith("adc")} & self.model_fields_set
        if self.digital and said:
            raise DeviceError(min(said), "said of a digital array", "it has no ADC", "digital: false, or no such line")
        missing = [field for field in ADC_FIELDS if field not in said]
        if missing and not self.digital:
            meaning = str(type(self).model_fields[missing[0]].description).partition(";")[0].rstrip(".")
            raise DeviceError(missing[0], "missing", meaning, f"adding '{missing[0]}:', or digital: true")
        if self.encoding is Encoding.DIFFERENTIAL_ROWS and self.active_rows < 2:
            raise DeviceError("active_rows", "1", "a weight is a pair of word lines", "2")
        return self

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
        """The most that one bit line can add up in one read, whatever its sign.

        Of a pair of word lines only one adds up; a flipped column holds at most half of what its cells can.
        """
        cells = -(-self.active_rows // self.rows_per_weight) * ((1 << self.cell_bits) - 1)
        return (cells // 2 if self.flips_columns else cells) * ((1 << self.dac_bits) - 1)

    @property
    def lossless_adc_bits(self) -> int:
        """The least resolution that tells all sums apart, a sign included.

        For as many active rows as a power of two this is the formula of Shafiee et al., ISCA 2016, section V.
        """
        return max(1, self.largest_sum.bit_length() + self.signed_sums)


class Pipeline(Part):
    """What happens around the arrays."""

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

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        if self.before > self.fill:
            raise DeviceError("before", f"{self.before}", f"fill is {self.fill} cycles", f"before: {self.fill}")
        left = self.fill - self.before
        if self.write_back > left:
            what = f"{self.fill} cycles, {self.before} of them before the array"
            raise DeviceError("write_back", f"{self.write_back}", f"the pipeline has {what}", f"write_back: {left}")
        return self


class Network(Part):
    """The network on the chip between instances of the outermost level: a mesh of routers."""

    rows: Count
    """Of routers."""
    cols: Count
    """Of routers; the instances are dealt to them in turn, equally many to each."""
    bandwidth: Bandwidth
    """Bytes that one link between two neighbouring routers can carry per second."""
    hop: Time
    """From one router to the next."""


class Dynamic(StrEnum):
    """Who multiplies two operands that are both computed, such as queries and keys."""

    HOST = "host"
    """The host, or a digital unit."""
    ARRAYS = "arrays"
    """Arrays: one of the operands is written into them every time."""


class Host(Part):
    """The processor that computes what arrays do not: a roofline."""

    operations: Frequency = Frequency(8 * 10**12)
    """Elementary operations (additions, multiplications, comparisons) per second."""
    bandwidth: Bandwidth = Bandwidth(12_800_000_000)
    """Bytes that it can load and store per second."""
