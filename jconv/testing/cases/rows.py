"""The rows of the table of cases as text, grouped by what is nasty about them.

One line a case: its name, the spatial sizes of x and of w, the keywords of the call, and what is
nasty about it. Beside the keywords of `jconv.conv` a line may set n (batch, 2), c (input channels
of one group, 2) and f (output channels of one group, 3).

The letters i, k, o, s, b, d, p0 and p1 are those of the index equation. I = b*(i-1)+1 and
K = d*(k-1)+1 are the rows of the dilated input and of a window, P is p0+p1, and r the remainder,
which is the number of rows at the end that no window reaches. Holes are the zeros between the rows
of a dilated input.
"""

ROWS = """
# --- strides
remainder-1              | 6     | 3     | stride=2, padding='VALID' | the last row is never read
remainder-most           | 9     | 2     | stride=4, padding='VALID' | three rows are never read
remainder-above-kernel | 9 | 1 | stride=5, padding='VALID' | more rows are unread than w has taps
remainder-under-pads     | 7     | 3     | stride=3, padding=((2, 3),) | the pads leave no remainder
remainder-all-of-the-pad | 7     | 3     | stride=4, padding=((0, 3),) | the high pad is never read
remainder-one-axis       | 6,7   | 3,3   | stride=2, padding='VALID' | a remainder on one axis only
remainder-both-axes      | 8,9   | 3,2   | stride=(2, 3), padding='VALID' | a remainder on both axes
remainder-none           | 7     | 3     | stride=2, padding='VALID' | windows reach every row
remainder-dilated | 10 | 3 | stride=3, dilation=2, padding='VALID' | a window has K rows, not k
remainder-crop           | 9     | 3     | stride=3, padding=((0, -1),) | a crop, then unread rows
remainder-same           | 12    | 2     | stride=4 | SAME with P = 0 leaves rows unread
stride-above-kernel | 11 | 2 | stride=4, padding='VALID' | rows between windows are skipped
stride-above-kernel-same | 11    | 2     | stride=4 | SAME's formula gives negative padding
stride-above-kernel-2d | 7,8 | 2,1 | stride=(3, 4), padding='VALID' | rows are skipped on both axes
stride-above-input       | 3     | 2     | stride=7, padding='VALID' | one window fits and no second
stride-above-input-same  | 3     | 2     | stride=7 | one window, placed by SAME
stride-equals-kernel     | 9     | 3     | stride=3, padding='VALID' | the windows tile x
stride-below-kernel-by-1 | 10    | 4     | stride=3, padding='VALID' | XLA swaps wrongly at s = k-1
stride-differs           | 7,6   | 3,3   | stride=(3, 1) | axes must not be exchanged
stride-differs-3d        | 5,4,6 | 2,3,2 | stride=(1, 2, 3) | axes must not be rotated
stride-1x1-kernel        | 7,7   | 1,1   | stride=2 | a strided slice, whose gradient has holes
stride-prime             | 13,11 | 3,5   | stride=(5, 7), padding=((1, 2), (3, 0)) | all sizes prime
stride-list              | 6,6   | 3,3   | stride=[2, 1] | a list, not a tuple

# --- kernels
kernel-above-input-same  | 2     | 5     |  | every window sees padding on both sides
kernel-above-input-valid | 2     | 5     | padding='VALID' | no window fits
kernel-above-input-padded | 2     | 5     | padding=2 | it fits only because of the pads
kernel-above-input-2d    | 2,3   | 5,4   | stride=2 | w has more elements than x on both axes
kernel-above-input-one-axis | 9,2 | 2,5 | padding=((0, 0), (2, 1)) | w is larger than x on one axis
kernel-equals-input      | 5     | 5     | padding='VALID' | one output row
kernel-equals-input-same | 4,4   | 4,4   |  | an even kernel as large as x
kernel-1                 | 5     | 1     |  | a window is one row
kernel-1-padded          | 5     | 1     | padding=((1, 2),) | some output rows see padding only
kernel-1-one-axis        | 5,6   | 1,3   | stride=(2, 1) | a kernel of one row, strided
kernel-even-valid        | 6,5   | 2,4   | padding='VALID' | no centre row
kernel-asymmetric        | 6,5   | 1,4   |  | a flipped or transposed w shows
kernel-wide              | 4,9   | 1,7   | padding=((0, 0), (3, 3)) | a flat filter
kernel-tall              | 9,4   | 7,1   | padding=((3, 3), (0, 0)) | an upright filter
kernel-prime             | 13    | 7     | stride=3 | prime sizes share no factor
kernel-3x3-winograd      | 5,7   | 3,3   |  | odd sizes under fast 3x3 algorithms
kernel-3x3-one-tile      | 4,4   | 3,3   | padding='VALID' | one tile of Winograd's F(2x2, 3x3)
kernel-5x5               | 6,6   | 5,5   | c=1, f=1 | one channel, large kernel
kernel-batch-1           | 6,6   | 3,3   | n=1 | a batch axis that may be dropped
kernel-batch-prime       | 4,4   | 3,3   | n=5, c=3, f=7 | nothing is a multiple of anything
kernel-one-channel       | 6     | 3     | c=1, f=1 | broadcasting would hide wrong channels
kernel-many-channels     | 3     | 2     | c=17, f=19 | more than a vector register, and prime
kernel-square-channels   | 4     | 3     | c=3, f=3 | exchanging I and O keeps the shape

# --- pads
pad-int                  | 5,6   | 3,2   | padding=1 | one int for four sides
pad-int-0                | 5,6   | 3,2   | padding=0 | the int that means VALID
pad-int-above-kernel     | 4     | 2     | padding=3 | whole windows of padding
pad-int-negative         | 7,6   | 3,2   | padding=-1 | crops every side
pad-ints-per-axis | 5,6 | 3,2 | padding=(2, 0) | two ints are for two axes, not low and high
pad-int-and-pair         | 5,6   | 3,2   | padding=(1, (0, 2)) | an int beside a pair
pad-lists                | 5,6   | 3,2   | padding=[[1, 2], [0, 1]] | lists where tuples are usual
pad-low-only             | 6     | 3     | padding=((2, 0),) | exchanged pads show
pad-high-only            | 6     | 3     | padding=((0, 2),) | exchanged pads show
pad-asymmetric-2d        | 5,6   | 3,2   | padding=((2, 0), (1, 3)) | four different sides
pad-asymmetric-strided | 8,7 | 3,4 | padding=((2, 1), (0, 3)), stride=2 | four sides under a stride
pad-asymmetric-dilated   | 8,7   | 3,2   | padding=((3, 1), (0, 2)), dilation=(2, 3) | K is not k
pad-above-window         | 3     | 2     | padding=((4, 5),), stride=2 | some rows see nothing of x
pad-only-window          | 1     | 3     | padding=((3, 0),), stride=3 | x itself is never read
pad-crop-low             | 7     | 3     | padding=((-2, 0),) | the first rows have zero gradient
pad-crop-high            | 7     | 3     | padding=((0, -2),) | the last rows have zero gradient
pad-crop-both            | 9     | 3     | padding=((-2, -1),), stride=2 | crops and a remainder
pad-crop-and-pad         | 7     | 3     | padding=((-2, 3),) | crop one side, pad the other
pad-pad-and-crop | 7 | 3 | padding=((3, -2),), stride=2 | pad one side, crop the other
pad-crop-2d | 7,8 | 3,3 | padding=((-1, 2), (0, -3)), stride=(1, 2) | crops and pads mixed
pad-crop-past-array      | 3     | 1     | padding=((-5, 4),) | the crop passes x: two zeros remain
pad-crop-past-array-high | 3     | 1     | padding=((4, -5),) | the crop passes x from the end
pad-crop-past-array-wide | 3     | 2     | padding=((-5, 6),), stride=2 | windows see zeros only
pad-crop-past-array-2d   | 3,4   | 2,2   | padding=((-5, 5), (1, 1)) | the crop passes x on one axis
pad-crop-all             | 3     | 1     | padding=((-2, -1),) | nothing remains
pad-crop-more-than-all   | 3     | 2     | padding=((-3, -4),) | less than nothing remains
pad-crop-to-one          | 5     | 1     | padding=((-2, -2),), stride=2 | one row remains
pad-crop-dilated | 9 | 3 | padding=((-1, 1),), dilation=2 | crop under a dilated kernel
pad-full                 | 4,5   | 3,2   | padding=((2, 2), (1, 1)) | K-1 pads on each side
pad-full-strided | 4,5 | 3,2 | padding=((2, 2), (1, 1)), stride=2 | K-1 pads each side, strided
pad-lowercase            | 5     | 4     | padding='same_lower' | names in lower case

# --- empty
empty-batch              | 5,4   | 3,3   | n=0 | no batch: gradients of w are zeros, not undefined
empty-batch-strided      | 5     | 2     | n=0, stride=2, padding='VALID' | no batch and a remainder
empty-batch-depthwise    | 5,4   | 3,3   | n=0, groups=4, c=1, f=1 | no batch, and groups
empty-output             | 2     | 4     | padding='VALID' | x is shorter than w: no output rows
empty-output-by-one | 4 | 5 | padding='VALID', stride=2 | I = K-1: truncation gives one row
empty-output-far | 2 | 7 | padding='VALID', stride=3 | I+P-K < -s: floor division says less than 0
empty-output-one-axis    | 2,6   | 4,3   | padding='VALID' | no rows on one axis
empty-output-dilated | 5 | 3 | padding='VALID', dilation=3 | the dilation alone leaves no rows
empty-output-3d          | 4,2,4 | 2,3,2 | padding='VALID' | no rows on the middle axis
empty-output-crop        | 6     | 3     | padding=((-2, -2),) | the crops alone leave no rows
empty-input-same         | 0     | 3     |  | no rows in, none out
empty-input-valid        | 0     | 3     | padding='VALID' | no rows in, none out
empty-input-strided      | 0     | 3     | stride=2 | ceil(0/s) is 0
empty-input-padded       | 0     | 3     | padding=2 | two output rows that are all padding
empty-input-padded-strided | 0     | 2     | padding=((1, 4),), stride=2 | I is 0, not b*(0-1)+1
empty-input-one-axis     | 0,5   | 3,3   | padding=((2, 1), (1, 1)) | no rows of x on one axis
empty-input-causal       | 0     | 3     | padding='CAUSAL' | K-1 zeros hold no window
empty-kernel | 5 | 0 | padding='VALID' | K is 0: windows fit before, between and after rows
empty-kernel-strided     | 5     | 0     | padding='VALID', stride=2 | (I-0)//s+1 rows of zeros
empty-kernel-same        | 5     | 0     | stride=2 | ceil(I/s) rows of zeros
empty-kernel-dilated     | 5     | 0     | padding=1, dilation=3 | K is 0, not d*(0-1)+1
empty-kernel-one-axis    | 5,4   | 0,3   |  | sums of nothing are zeros
empty-kernel-causal | 4 | 0 | padding='CAUSAL', stride=2 | p0 = K-1 = -1: still ceil(I/s) rows
empty-kernel-and-input   | 0     | 0     | padding='VALID' | one window of nothing in nothing
one-row                  | 1     | 1     |  | the smallest convolution
one-row-same             | 1     | 3     |  | only the centre tap sees data
one-row-strided          | 1     | 3     | stride=2, padding=((1, 2),) | wide pads around one row
one-row-even | 1 | 2 | stride=2, padding=((1, 3),) | the row is seen by one tap only
one-row-2d               | 1,1   | 3,3   | padding=1, stride=2 | one pixel
one-row-one-axis | 8,1 | 2,3 | stride=(2, 1), padding=((0, 0), (1, 3)) | one row on one axis
one-row-3d | 1,4,1 | 2,2,3 | stride=2, padding=((1, 1), (0, 1), (1, 3)) | one row on two axes
one-row-dilated          | 1     | 3     | dilation=4, padding=4 | the outer taps see padding
one-output               | 4,5   | 3,4   | padding='VALID', stride=3 | a cotangent of one pixel

# --- dilations
dilation-2               | 7     | 3     | dilation=2 | K is odd
dilation-3-even-kernel   | 8     | 2     | dilation=3 | K = 4 is even
dilation-above-input     | 3     | 2     | dilation=5, padding=3 | no two taps see data at once
dilation-above-input-same | 3     | 3     | dilation=4 | only the centre tap sees data
dilation-equals-stride | 9 | 3 | dilation=2, stride=2, padding='VALID' | every other row is read
dilation-multiple-of-stride | 11 | 3 | dilation=4, stride=2, padding=((1, 2),) | gcd(s, d) is s
dilation-divides-stride  | 13    | 3     | dilation=2, stride=4, padding=((1, 0),) | gcd(s, d) is d
dilation-coprime-to-stride | 13 | 3 | dilation=3, stride=2, padding=((2, 1),) | gcd(s, d) is 1
dilation-gcd | 17 | 3 | dilation=4, stride=6, padding=((1, 2),) | gcd(s, d) is neither
dilation-differs | 8,9 | 2,3 | dilation=(1, 3), stride=(2, 1) | axes must not be exchanged
dilation-one-row         | 5     | 1     | dilation=3 | K is 1 whatever the dilation
dilation-crop | 9 | 2 | dilation=3, padding=((-2, 1),), stride=2 | a crop under dilated taps
dilation-lower | 7,7 | 2,2 | dilation=(1, 3), padding='SAME_LOWER', stride=2 | odd pads at the start
dilation-3d | 4,5,6 | 2,2,2 | dilation=(3, 1, 2), stride=(1, 2, 1) | another dilation on each axis

# --- holes
holes                    | 4     | 3     | input_dilation=2 | every other row of x is a hole
holes-same-even          | 4     | 2     | input_dilation=3 | SAME counts the dilated rows
holes-lower | 4 | 4 | input_dilation=2, padding='SAME_LOWER', stride=2 | odd pads at the start
holes-valid | 4 | 3 | input_dilation=2, padding='VALID' | no holes after the last row
holes-kernel-1 | 3 | 1 | input_dilation=3, padding='VALID' | most windows see holes only
holes-strided            | 5     | 3     | input_dilation=2, stride=3 | a rational resampling
holes-equal-stride | 5 | 3 | input_dilation=3, stride=3, padding=1 | s = b: they cancel
holes-cancel-unseen | 5 | 1 | input_dilation=2, stride=2, padding=((1, 1),) | windows see holes only
holes-coprime | 5 | 3 | input_dilation=2, stride=3, padding=((2, 1),) | s and b are coprime
holes-remainder | 5 | 2 | input_dilation=3, stride=4, padding='VALID' | data and holes unread
holes-above-input        | 2     | 3     | input_dilation=5, padding=2 | more holes than rows
holes-one-row | 1 | 2 | input_dilation=4, padding=1 | I is 1 whatever the dilation
holes-none-to-dilate     | 0     | 2     | input_dilation=3, padding=2 | I is 0, not 1-b
holes-crop | 5 | 2 | input_dilation=2, padding=((-2, -2),) | crops one row each side
holes-crop-residual | 5 | 2 | input_dilation=2, padding=((-1, -1),) | a hole is left at each edge
holes-crop-residual-3 | 5 | 3 | input_dilation=3, padding=((-2, -4),) | holes left: 1 and 2
holes-crop-low | 4 | 3 | input_dilation=3, padding=((-4, 3),), stride=2 | crops low, pads high
holes-crop-all | 2 | 1 | input_dilation=4, padding=((-2, -2),) | a lone hole remains
holes-crop-past-array | 2 | 2 | input_dilation=3, padding=((-6, 5),) | the crop passes the dilated x
holes-dilated | 4 | 3 | input_dilation=2, dilation=3, padding=3 | both dilations, coprime
holes-dilated-alike | 4 | 3 | input_dilation=2, dilation=2, padding=2 | every other y row is 0
holes-all-three | 5 | 3 | input_dilation=2, dilation=3, stride=5, padding=4 | s, d and b are coprime
holes-causal | 4 | 3 | input_dilation=2, padding='CAUSAL', stride=2 | K-1 pads, then x and holes
holes-2d | 3,4 | 2,3 | input_dilation=(3, 1), stride=(1, 2) | holes on one axis only
holes-2d-differ | 3,4 | 3,2 | input_dilation=(2, 3), padding=((1, 2), (0, 1)) | other holes
holes-depthwise          | 4,3   | 3,2   | input_dilation=2, groups=3, c=1, f=2 | upsampling filter
holes-3d | 2,3,2 | 2,2,3 | input_dilation=(2, 1, 3), stride=(1, 2, 2) | holes on two axes
holes-empty-batch        | 3     | 2     | n=0, input_dilation=2 | nothing to dilate
holes-torch-transpose | 4,3 | 3,3 | input_dilation=2, padding=((1, 2), (1, 2)) | a deconvolution

# --- groups
groups-2                 | 6     | 3     | groups=2 | wrong group order shows
groups-3                 | 5,4   | 2,3   | groups=3, stride=2 | a count that is no power of 2
groups-one-output-each   | 5     | 3     | groups=4, c=2, f=1 | O equals the group count
groups-one-input-each    | 5     | 3     | groups=3, c=1, f=1 | depthwise
groups-multiplier        | 5,6   | 3,3   | groups=3, c=1, f=2 | outputs of one channel are adjacent
groups-multiplier-strided | 7,6   | 3,2   | groups=2, c=1, f=3, stride=2 | f is above the groups
groups-depthwise-causal | 6 | 4 | groups=4, c=1, f=1, padding='CAUSAL' | a state-space filter
groups-depthwise-valid | 7,7 | 3,3 | groups=5, c=1, f=1, padding='VALID', stride=3 | a remainder
groups-depthwise-dilated | 9     | 3     | groups=3, c=1, f=1, dilation=3 | dilated taps
groups-depthwise-crop    | 7     | 3     | groups=3, c=1, f=2, padding=((-1, 2),), stride=2 | a crop
groups-depthwise-batch-1 | 5,5   | 3,3   | n=1, groups=8, c=1, f=1 | batch 1, many channels
groups-depthwise-1x1 | 4,4 | 1,1 | groups=3, c=1, f=1, stride=2 | each channel times a number
groups-equal-batch | 4 | 2 | n=3, groups=3, c=3, f=3 | all counts are 3: mix-ups keep shapes
groups-prime             | 5     | 3     | groups=7, c=3, f=5, n=1 | all counts are prime
groups-dilated           | 8,8   | 3,2   | groups=2, dilation=(2, 3), stride=(2, 1) | all at once
groups-3d                | 3,4,5 | 2,3,2 | groups=2, stride=2, padding=1 | volumes
groups-empty-output      | 2     | 5     | groups=2, padding='VALID' | no output rows
groups-kernel-above-input | 1,2   | 3,4   | groups=2, padding=2, stride=2 | w larger than x
groups-channels-first    | 5,6   | 3,2   | groups=3, layout='NCHW' | I of w counts one group

# --- causal
causal                   | 6     | 3     | padding='CAUSAL' | all of the pad at the start
causal-strided           | 7     | 4     | padding='CAUSAL', stride=3 | K-1 pads whatever the stride
causal-dilated           | 7     | 3     | padding='CAUSAL', dilation=3 | K-1 pads, not k-1
causal-dilated-strided | 8 | 2 | padding='CAUSAL', dilation=3, stride=2 | dilation and stride
causal-above-input       | 2     | 5     | padding='CAUSAL' | w looks back further than x goes
causal-one-row           | 1     | 4     | padding='CAUSAL', stride=2 | only the last tap sees data
causal-kernel-1          | 5     | 1     | padding='CAUSAL' | no past at all
causal-2d                | 5,6   | 3,2   | padding='CAUSAL', stride=(1, 2) | both axes look back
causal-groups            | 6     | 3     | padding='CAUSAL', groups=2 | with groups
causal-channels-first | 6 | 3 | padding='CAUSAL', layout='NCW' | the pad is on W, not on C

# --- modes
reflect-widest | 4 | 3 | padding_mode='reflect', padding=3 | i-1 pads, the most there can be
circular-widest          | 4     | 3     | padding_mode='circular', padding=4 | i pads, a whole turn
circular-one-row         | 1     | 3     | padding_mode='circular' | the neighbour is itself
edge-one-row | 1 | 4 | padding_mode='edge', padding=3, stride=2 | all taps see one row
edge-wide                | 3     | 2     | padding_mode='edge', padding=5 | a pad wider than x
edge-crop-past-array | 3 | 1 | padding_mode='edge', padding=((-5, 4),) | the crop passes x
circular-crop-past-array | 4 | 1 | padding_mode='circular', padding=((-5, 3),) | only copies remain
reflect-crop-past-array | 4 | 1 | padding_mode='reflect', padding=((3, -5),) | only copies remain
reflect-crop-and-pad | 6 | 3 | padding_mode='reflect', padding=((-2, 3),) | pads, then crops
circular-crop-and-pad | 6 | 3 | padding_mode='circular', padding=((4, -3),) | pads, then crops
circular-pads-cropped-rows | 5 | 2 | padding_mode='circular', padding=((-1, 1),) | pads cropped rows
reflect-remainder | 7 | 2 | padding_mode='reflect', stride=3, padding=1 | a border under a stride
circular-causal | 6 | 3 | padding_mode='circular', padding='CAUSAL', dilation=2 | one border
edge-causal-strided | 7 | 4 | padding_mode='edge', padding='CAUSAL', stride=2 | one border
circular-valid | 5 | 3 | padding_mode='circular', padding='VALID' | a mode without a pad
reflect-valid-one-row | 1 | 1 | padding_mode='reflect' | nothing to reflect, nothing needed
edge-empty-batch         | 4     | 3     | padding_mode='edge', n=0 | no batch
edge-empty-output        | 2     | 6     | padding_mode='edge', padding=1 | no window fits
reflect-depthwise        | 5,4   | 3,3   | padding_mode='reflect', groups=3, c=1, f=1 | a blur
circular-channels-first | 5,4 | 3,2 | padding_mode='circular', layout='NCHW', padding=2 | corners
edge-triple | 4,5 | 2,3 | padding_mode='edge', layout=('CWHN', 'OIWH', 'HWNC') | mixed layouts

# --- layouts
layout-nwc               | 5     | 3     | layout='NWC', stride=2 | the default, named
layout-ncw               | 5     | 3     | layout='NCW', stride=2 | channels first
layout-nhwc              | 5,4   | 3,2   | layout='NHWC' | the default, named
layout-nchw              | 5,4   | 3,2   | layout='NCHW', stride=(2, 1) | OIHW filters
layout-nchw-asymmetric   | 5,4   | 2,3   | layout='NCHW', padding=((0, 2), (1, 0)) | pads of H and W
layout-nwhc              | 5,4   | 3,2   | layout='NWHC', stride=(2, 1) | W before H
layout-ndhwc             | 3,4,5 | 2,1,3 | layout='NDHWC' | volumes
layout-ncdhw | 3,4,5 | 2,1,3 | layout='NCDHW', stride=(1, 2, 3) | volumes, channels first
layout-4d-last           | 3,2,3,2 | 2,2,1,2 | layout='NABDEC' | four axes, channels last
layout-4d-first          | 3,2,3,2 | 2,2,1,2 | layout='NCABDE' | four axes, channels first
triple-lax-default | 5,4 | 3,2 | layout=('NCHW', 'OIHW', 'NCHW'), stride=2 | lax's own default
triple-mixed             | 5,4   | 3,2   | layout=('NHWC', 'OIHW', 'NCHW') | y laid out unlike x
triple-mixed-back        | 5,4   | 3,2   | layout=('NCHW', 'HWIO', 'NHWC'), groups=2 | y unlike x
triple-batch-last        | 5,4   | 3,2   | layout=('CHWN', 'IHWO', 'HWNC') | as in filter gradients
triple-spatial-first | 5,4 | 3,2 | layout=('HWNC', 'HWOI', 'HWCN'), stride=(1, 2) | I after O
triple-x-rotated | 5,4 | 3,2 | layout=('NWHC', 'HWIO', 'NHWC'), stride=(2, 1) | w orders the axes
triple-y-rotated | 5,4 | 3,2 | layout=('NHWC', 'HWIO', 'WCHN'), padding=((1, 0), (0, 2)) | W first
triple-w-rotated | 5,4 | 3,2 | layout=('NHWC', 'WOHI', 'NHWC'), stride=(2, 1) | w orders them W, H
triple-channels-between | 5,4 | 3,2 | layout=('HCWN', 'IHOW', 'NHCW'), groups=2 | C between axes
triple-1d                | 6     | 3     | layout=('CWN', 'OWI', 'WNC'), stride=2 | one axis
triple-3d | 3,4,2 | 2,3,1 | layout=('DNHCW', 'IDHOW', 'WHDCN'), stride=(1, 2, 1) | three axes
triple-4d | 2,3,2,3 | 1,2,2,1 | layout=('XNYZCV', 'YIXOVZ', 'NVZYXC') | four axes, mixed
triple-empty-output | 2,5 | 4,3 | layout=('CHWN', 'OIHW', 'WHNC'), padding='VALID' | no rows
triple-holes | 3,4 | 2,3 | layout=('NCHW', 'WHIO', 'HWNC'), input_dilation=(2, 1) | w orders W, H

# --- ranks
rank-1-all | 9 | 3 | stride=2, dilation=2, padding=((3, 1),), groups=2 | all at once
rank-2-all | 7,6 | 3,2 | stride=(2, 3), dilation=(1, 2), padding=((2, 0), (1, 4)) | all at once
rank-3                   | 4,3,5 | 3,2,2 |  | even and odd kernels
rank-3-valid-remainder | 4,5,3 | 2,2,2 | stride=(3, 2, 2), padding='VALID' | 2, 1 and 1 rows unread
rank-3-kernel-above-input | 2,1,2 | 3,3,2 | stride=2, padding=1 | volumes of padding
rank-3-mixed-pads | 3,4,4 | 2,3,2 | padding=(1, (-1, 2), 0), stride=(1, 2, 1) | an int, a pair and 0
rank-4                   | 2,3,2,3 | 2,2,2,2 |  | one axis more than vendors' kernels have
rank-4-strided           | 3,2,4,3 | 2,1,3,2 | stride=(2, 1, 2, 1), padding='VALID' | and remainders
rank-4-groups            | 2,2,3,2 | 1,2,2,2 | groups=2, dilation=(1, 1, 2, 1) | grouped
rank-4-holes             | 2,2,1,2 | 2,1,2,2 | input_dilation=(1, 2, 1, 2), n=1 | dilated input
rank-4-circular          | 2,3,2,2 | 2,2,1,3 | padding_mode='circular', n=1 | wraps on every axis
rank-5                   | 2,1,2,2,1 | 1,2,2,1,2 | n=1 | five axes

# --- aborts: on cases named abort lax's own program makes XLA kill the process (jax 0.10.2, CPU)
abort-lax-gradient | 8,1 | 2,3 | n=1, c=3, stride=2, padding=((1, 2), (1, 3)) | lax's gradient in x
abort-gradient-square | 4,1 | 2,3 | stride=2, padding=((1, 1), (1, 3)) | k = s = 2 and no pads left
abort-gradient-remainder | 4,1   | 2,4   | n=1, stride=2, padding=((1, 2), (2, 3)) | r fills the pad
abort-gradient-same | 1,6 | 3,2 | n=1, c=3, stride=2, padding=((1, 3), (1, 1)) | the other axis
abort-gradient-3d        | 4,1,1 | 2,3,3 | n=1, stride=2, padding=((1, 1), (1, 3), (2, 2)) | volumes
abort-forward | 4,1 | 2,3 | input_dilation=(2, 1), padding=((0, 0), (2, 0)) | k = b = 2, s = 1
abort-forward-even | 4,1 | 2,2 | input_dilation=(2, 1), padding=((0, 0), (2, 2)) | one-sided data
abort-forward-holes | 3,1 | 2,3 | input_dilation=(2, 3), padding=((0, 0), (2, 3)) | on both axes
abort-forward-k3 | 2,1 | 3,4 | input_dilation=3, stride=2, padding=(0, 3) | k = b = 3, s = 2
abort-forward-3d | 3,1,1 | 2,3,3 | input_dilation=(2, 1, 3), padding=(0, (2, 3), (0, 3)) | volumes
near-abort-gradient-1d | 2 | 2 | n=1, c=3, stride=2, padding=1 | one axis alone does not abort
near-abort-gradient-k3 | 3,1 | 3,3 | stride=(3, 1), input_dilation=(2, 1), padding=(2, 1) | k = s
near-abort-forward-1d | 2 | 3 | input_dilation=3, stride=2, padding='VALID' | w has more rows than x
near-abort-filter | 2,3 | 3,2 | stride=2, padding=((2, 2), (0, 1)) | a filter backprop of large g
near-abort-groups | 8,1 | 2,3 | n=1, groups=2, stride=2, padding=((1, 2), (1, 3)) | groups: no abort
negative-pads-strided | 6,4 | 2,3 | stride=2, padding=((-1, 0), (-2, 3)) | XLA reads out of bounds
negative-pads-wide | 3,9 | 4,2 | padding=((3, -1), (-4, -3)), stride=(1, 2) | beside wide pads
"""
