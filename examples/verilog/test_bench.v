// Compares the macro with golden vectors that `cyclecast vectors` wrote: every ADC code, every partial sum, every output.
//
//   iverilog -g2012 -I OUT/array_0 -o bench test_bench.v cim_macro.v && vvp bench +vectors=OUT/array_0
`timescale 1ns / 1ps

module test_bench;
    `include "parameters.vh"

    localparam ROWS = 128;
    localparam ARRAY_COLUMNS = 128;
    localparam ARRAY_FILTERS = ARRAY_COLUMNS / SLICES;

    reg [8*1024-1:0] vectors;
    reg [CELL_BITS-1:0] cells [0:WORD_LINES*COLUMNS-1];
    reg flipped [0:COLUMNS-1];
    reg [INPUT_BITS-1:0] inputs [0:PRODUCTS*LINES-1];
    reg [ADC_BITS-1:0] codes [0:PRODUCTS*STEPS*COLUMNS-1];
    reg [63:0] partial_sums [0:PRODUCTS*STEPS*FILTERS-1];
    reg [63:0] outputs [0:PRODUCTS*FILTERS-1];

    reg clock = 0, clear = 0, write = 0, step = 0;
    reg [15:0] write_row = 0;
    reg [ARRAY_COLUMNS*CELL_BITS-1:0] write_cells = 0;
    reg [ARRAY_COLUMNS-1:0] complemented = 0;
    reg [7:0] step_number = 0;
    reg [ROWS-1:0] pulses = 0;
    wire [ARRAY_COLUMNS*ADC_BITS-1:0] macro_codes;
    wire [ARRAY_FILTERS*64-1:0] totals;

    cim_macro #(
        .ROWS(ROWS), .COLUMNS(ARRAY_COLUMNS), .CELL_BITS(CELL_BITS), .SLICES(SLICES), .WEIGHT_BITS(WEIGHT_BITS),
        .INPUT_BITS(INPUT_BITS), .ADC_BITS(ADC_BITS)
    ) macro (
        .clock(clock), .clear(clear), .write(write), .write_row(write_row), .write_cells(write_cells),
        .complemented(complemented), .step(step), .step_number(step_number), .pulses(pulses), .codes(macro_codes),
        .totals(totals)
    );

    integer row, column, product, place, filter, mistakes = 0, compared = 0;

    task tick;
        begin
            #5 clock = 1;
            #5 clock = 0;
        end
    endtask

    task compare(input [63:0] have, input [63:0] wanted, input [8*16-1:0] what, input integer index);
        begin
            compared = compared + 1;
            if (have !== wanted) begin
                mistakes = mistakes + 1;
                if (mistakes <= 5)
                    $display("%0s %0d of product %0d, step %0d: %0h instead of %0h", what, index, product, place, have,
                        wanted);
            end
        end
    endtask

    initial begin
        if (!$value$plusargs("vectors=%s", vectors)) begin
            $fatal(1, "usage: vvp bench +vectors=FOLDER");
        end
        if (PHASES != 1 || DAC_BITS != 1 || WORD_LINES != LINES || WORD_LINES > ROWS || COLUMNS > ARRAY_COLUMNS) begin
            $fatal(1, "FAILED: these vectors are of another kind of array");
        end
        $readmemh({vectors, "/cells.hex"}, cells);
        $readmemh({vectors, "/flipped.hex"}, flipped);
        $readmemh({vectors, "/inputs.hex"}, inputs);
        $readmemh({vectors, "/codes.hex"}, codes);
        $readmemh({vectors, "/partial_sums.hex"}, partial_sums);
        $readmemh({vectors, "/outputs.hex"}, outputs);

        write = 1;
        for (row = 0; row < WORD_LINES; row = row + 1) begin
            write_row = row;
            for (column = 0; column < COLUMNS; column = column + 1)
                write_cells[column*CELL_BITS +: CELL_BITS] = cells[row*COLUMNS + column];
            tick;
        end
        write = 0;
        for (column = 0; column < COLUMNS; column = column + 1) complemented[column] = flipped[column];

        for (product = 0; product < PRODUCTS; product = product + 1) begin
            clear = 1;
            tick;
            clear = 0;
            step = 1;
            for (place = 0; place < STEPS; place = place + 1) begin
                step_number = place;
                for (row = 0; row < LINES; row = row + 1) pulses[row] = inputs[product*LINES + row][place];
                tick;
                for (column = 0; column < COLUMNS; column = column + 1)
                    compare(macro_codes[column*ADC_BITS +: ADC_BITS],
                        codes[(product*STEPS + place)*COLUMNS + column], "code", column);
                for (filter = 0; filter < FILTERS; filter = filter + 1)
                    compare(totals[filter*64 +: 64],
                        partial_sums[(product*STEPS + place)*FILTERS + filter], "partial sum", filter);
            end
            step = 0;
            for (filter = 0; filter < FILTERS; filter = filter + 1)
                compare(totals[filter*64 +: 64], outputs[product*FILTERS + filter], "output", filter);
        end
        if (mistakes == 0 && compared > 0) $display("PASSED: %0d values", compared);
        else $fatal(1, "FAILED: %0d of %0d values differ", mistakes, compared);
        $finish;
    end
endmodule
