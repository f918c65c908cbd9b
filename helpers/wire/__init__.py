"""What travels: the values that a service takes and gives, their forms in bytes, and the errors told to a caller.

``values`` says what there is (tensors, images, tables, plain JSON); ``native``, ``open_inference`` and
``tensorflow_serving`` read and write requests in three languages. Nothing here runs anything or opens a socket.
"""
