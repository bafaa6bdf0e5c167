// One compute-in-memory macro: an array of cells with 1-bit DACs, ADCs, and shift-and-add. Digital in, digital out.
//
// Weights are stored with an offset of half their range, a slice of CELL_BITS in each of neighbouring columns; a column
// may be stored complemented, so that its sum stays within half of what its cells can add up (Shafiee et al., "ISAAC",
// ISCA 2016, section V). Inputs come one bit per step, the lowest first; the highest counts negatively. A further column
// counts the inputs that are driven, from which offset and complements are corrected.
//
//   write: put one word line's cells into the array, and (with it or later) which columns are complemented
//   step:  drive the word lines with one bit of every input; codes and totals are there after the clock
`timescale 1ns / 1ps
`default_nettype none

module cim_macro #(
    parameter ROWS = 128,
    parameter COLUMNS = 128,
    parameter CELL_BITS = 2,
    parameter SLICES = 4,
    parameter WEIGHT_BITS = 8,
    parameter INPUT_BITS = 8,
    parameter ADC_BITS = 8
) (
    input wire clock,
    input wire clear,                              // before the first step of a product
    input wire write,
    input wire [15:0] write_row,
    input wire [COLUMNS*CELL_BITS-1:0] write_cells,
    input wire [COLUMNS-1:0] complemented,
    input wire step,
    input wire [7:0] step_number,
    input wire [ROWS-1:0] pulses,                  // what the DACs drive: a bit of each input
    output reg [COLUMNS*ADC_BITS-1:0] codes,       // what the ADCs tell of this step
    output reg [(COLUMNS/SLICES)*64-1:0] totals    // of each filter, over the steps since clear
);
    localparam FILTERS = COLUMNS / SLICES;
    localparam [63:0] MOST_CODE = (64'd1 << ADC_BITS) - 1;
    localparam [63:0] CELL_MOST = (64'd1 << CELL_BITS) - 1;

    reg [COLUMNS*CELL_BITS-1:0] cells [0:ROWS-1];

    integer row, column, filter, slice;
    reg [63:0] sum, driven, code;
    reg signed [63:0] product, value;

    initial begin
        for (row = 0; row < ROWS; row = row + 1) cells[row] = 0;
        codes = 0;
        totals = 0;
    end

    always @(posedge clock) begin
        if (write) cells[write_row] <= write_cells;
        if (clear) totals <= 0;
        if (step) begin
            driven = 0;
            for (row = 0; row < ROWS; row = row + 1) driven = driven + pulses[row];
            for (filter = 0; filter < FILTERS; filter = filter + 1) begin
                product = 0;
                for (slice = 0; slice < SLICES; slice = slice + 1) begin
                    column = filter * SLICES + slice;
                    sum = 0;
                    for (row = 0; row < ROWS; row = row + 1)
                        if (pulses[row]) sum = sum + cells[row][column*CELL_BITS +: CELL_BITS];
                    code = sum > MOST_CODE ? MOST_CODE : sum;
                    codes[column*ADC_BITS +: ADC_BITS] <= code[ADC_BITS-1:0];
                    value = complemented[column] ? CELL_MOST * driven - code : code;
                    product = product + (value <<< (slice * CELL_BITS));
                end
                product = product - $signed(driven << (WEIGHT_BITS - 1));
                product = product <<< step_number;
                if (step_number == INPUT_BITS - 1) product = -product;
                totals[filter*64 +: 64] <= totals[filter*64 +: 64] + product;
            end
        end
    end
endmodule

`default_nettype wire
