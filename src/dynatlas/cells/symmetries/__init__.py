"""Symmetries of a network's units: the weights that move, and those that change sign, when units are reordered.

A network computes the same when its units are reordered: the weights of each gate by rows and columns, weights from
inputs, biases and initial state by rows, and those to outputs by columns. If the activation is odd, φ(−a) = −φ(a),
units may also change sign, hᵢ → −hᵢ:

    columns of all recurrent weights, outputs, initial state   change sign
    rows of the candidate: recurrent, inputs, bias              change sign
    rows of gates: recurrent, inputs, bias                      do not

Dale's law fixes the signs of units. Built-in cells are known; a user-defined cell is read from the shapes of its
leaves, and what was read is checked: a network with moved weights must commute with step and readout to rounding.

Fixed leaves are counted as the step uses them: masks, Dale's signs and a fixed part of the connectivity in the
recurrent weights that they make; α of each unit as its feature. In user-defined cells they have to move with the units,
but are no weights: a cell that derives from ``StagedCell`` can return the weights that it uses from ``dense``.

Source: Hecht-Nielsen 1990 (permutations and signs of tanh units).
"""
