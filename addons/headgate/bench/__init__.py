"""What the chain costs, as ratios taken in one run on one machine, each against its reference, in turns.

Absolute numbers of a benchmark say most about the machine; a ratio of two things that ran a moment apart says
something about the code. Every figure is a median with its spread, next to the bar it is meant to reach, met or not.
"""
