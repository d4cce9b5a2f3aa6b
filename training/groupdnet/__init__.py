"""GroupDNet: Zhu et al., "Semantically Multi-modal Image Synthesis" (CVPR 2020): one style code a class."""
