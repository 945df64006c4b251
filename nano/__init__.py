"""The tiny Qwen2.5-VL that comes with EyesMol: how it is made, trained and measured."""
