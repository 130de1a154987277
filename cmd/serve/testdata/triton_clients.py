# What NVIDIA's example clients (src/python/examples of triton-inference-server/client) ask of a server, and expect: the models simple,
# simple_string, simple_identity and simple_int8, their errors' words, and the server's name.
import asyncio
import sys

import numpy as np
import tritonclient.grpc as grpcclient
import tritonclient.grpc.aio as grpcaio
import tritonclient.http as httpclient
import tritonclient.http.aio as httpaio
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

HTTP, GRPC = sys.argv[1:]
A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.ones((1, 16), np.int32)


def inputs(client, a=A, b=B, datatype='INT32', **form):
    tensors = [client.InferInput('INPUT%d' % i, [1, 16], datatype) for i in range(2)]
    for t, values in zip(tensors, (a, b)):
        t.set_data_from_numpy(values, **form)
    return tensors


def outputs(client, **form):
    return [client.InferRequestedOutput('OUTPUT%d' % i, **form) for i in range(2)]


def check(result):
    assert (result.as_numpy('OUTPUT0').astype(int) == A + B).all(), result.as_numpy('OUTPUT0')
    assert (result.as_numpy('OUTPUT1').astype(int) == A - B).all(), result.as_numpy('OUTPUT1')


def fails(call, words):
    try:
        call()
    except InferenceServerException as e:
        assert words in e.message(), e.message()
    else:
        raise AssertionError('no error with ' + words)


def both(http, grpc):
    for client, module in ((http, httpclient), (grpc, grpcclient)):
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready('simple')
        fails(lambda: client.get_model_metadata('wrong_model_name'), 'Request for unknown model')
        fails(lambda: client.infer('wrong_model_name', inputs(module)), 'Request for unknown model')
        check(client.infer('simple', inputs(module)))
        check(client.infer('simple', inputs(module), outputs=outputs(module)))
        text = [np.array([[str(v).encode() for v in row] for row in values], np.object_) for values in (A, B)]
        check(client.infer('simple_string', inputs(module, *text, datatype='BYTES')))
        for data in (np.array([[b'he\x00llo'] * 16], np.object_), np.array([[b'\x00\x01\x02\x03'] * 16], np.bytes_)):
            t = module.InferInput('INPUT0', [1, 16], 'BYTES')
            t.set_data_from_numpy(data)
            got = client.infer('simple_identity', [t]).as_numpy('OUTPUT0')
            assert [bytes(v) for v in got.flatten()] == [bytes(v) for v in data.flatten()], got


def over_http():
    client = httpclient.InferenceServerClient(HTTP)
    assert client.is_server_live(query_params={'test_1': 1, 'test_2': 2})
    assert client.get_server_metadata()['name'] == 'triton'
    assert client.get_model_metadata('simple', query_params={'test_1': 1})['name'] == 'simple'
    for compression in (None, 'gzip', 'deflate'):
        check(client.infer('simple', inputs(httpclient, binary_data=False), outputs=outputs(httpclient, binary_data=False), query_params={'test_1': 1},
                           request_compression_algorithm=compression, response_compression_algorithm=compression))
    assert len(client.get_inference_statistics('simple')['model_stats']) == 1
    for handle in [client.async_infer('simple', inputs(httpclient)) for _ in range(4)]:
        check(handle.get_result())
    return client


def over_grpc():
    keepalive = grpcclient.KeepAliveOptions(keepalive_time_ms=2**31 - 1, keepalive_timeout_ms=20000, http2_max_pings_without_data=2)
    check(grpcclient.InferenceServerClient(GRPC, keepalive_options=keepalive).infer('simple', inputs(grpcclient), headers={'test': '1'}))
    args = [('grpc.max_send_message_length', 1 << 20), ('grpc.max_receive_message_length', 1 << 20), ('grpc.dns_enable_srv_queries', 1)]
    check(grpcclient.InferenceServerClient(GRPC, channel_args=args).infer('simple', inputs(grpcclient)))
    client = grpcclient.InferenceServerClient(GRPC)
    assert client.is_server_live(headers={'test': '1', 'dummy': '2'})
    assert client.get_server_metadata().name == 'triton'
    assert client.get_model_config('simple').config.name == 'simple'
    assert len(client.get_inference_statistics('simple').model_stats) == 1
    for compression in ('gzip', 'deflate'):
        check(client.infer('simple', inputs(grpcclient), client_timeout=20, compression_algorithm=compression))
    answers = []
    client.start_stream(callback=lambda result, error: answers.append(error or result))
    for _ in range(4):
        client.async_stream_infer('simple', inputs(grpcclient))
    client.stop_stream()
    assert len(answers) == 4, answers
    for answer in answers:
        check(answer)
    explicit(client)
    return client


def explicit(client):
    for model, datatype, dtype in (('simple', 'INT32', np.int32), ('simple_int8', 'INT8', np.int8)):
        request = service_pb2.ModelInferRequest(model_name=model)
        for i, values in enumerate((A, B)):
            t = request.inputs.add(name='INPUT%d' % i, datatype=datatype, shape=[1, 16])
            t.contents.int_contents[:] = values.flatten().tolist()
        got = [np.frombuffer(raw, dtype) for raw in client._client_stub.ModelInfer(request).raw_output_contents]
        assert (got[0] == A + B).all() and (got[1] == A - B).all(), got
        request.raw_input_contents.append(b'\0' * 64)
        words = "contents field must not be specified when using raw_input_contents for 'INPUT0' for model '%s'" % model
        try:
            client._client_stub.ModelInfer(request)
        except Exception as e:
            assert words in str(e), e
        else:
            raise AssertionError('no error for both contents')


async def in_asyncio():
    for module, address in ((httpaio, HTTP), (grpcaio, GRPC)):
        async with module.InferenceServerClient(address) as client:
            assert await client.is_server_live() and await client.is_model_ready('simple')
            check(await client.infer('simple', inputs(module), outputs=outputs(module)))


both(over_http(), over_grpc())
asyncio.run(in_asyncio())
print('all as expected')
