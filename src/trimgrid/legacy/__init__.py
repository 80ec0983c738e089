"""Models of Keras 2 (`tf_keras`): TFMOT trains them; their files, read into Keras 3."""
