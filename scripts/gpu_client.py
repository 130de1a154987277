"""What scripts/gpu-check asks a server, with Python alone: gpu_client.py URL ready | engines | top IMAGE… | load N IMAGE | models"""
import collections
import concurrent.futures
import json
import sys
import urllib.error
import urllib.request


def ask(url, body=None):
    """The status and body of an answer; status 0 when there is no connection, -1 when it broke off."""
    request = urllib.request.Request(url, body, {"Content-Type": "image/jpeg"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except urllib.error.URLError as error:
        return (0 if isinstance(error.reason, ConnectionRefusedError) else -1), b""
    except (OSError, ValueError):
        return -1, b""


def read(path):
    with open(path, "rb") as file:
        return file.read()


def main():
    url, verb, arguments = sys.argv[1], sys.argv[2], sys.argv[3:]
    if verb in ("ready", "health"):
        print(ask(f"{url}/{verb}")[0])
    elif verb == "engines":  # what /ready says of the TensorRT engines that are not built
        print("; ".join(json.loads(ask(url + "/ready")[1]).get("engines", [])))
    elif verb == "models":
        print(ask(url + "/v1/models")[1].decode())
    elif verb == "top":  # the device that answered and the first class, a line an image
        for path in arguments:
            status, body = ask(url + "/predict", read(path))
            answer = json.loads(body) if status == 200 else {}
            print(answer.get("device", "none"), answer["predictions"][0]["top"][0]["class"] if answer else status)
    elif verb == "load":  # how many answers there were of each status, 16 requests at a time
        body = read(arguments[1])
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            counts = collections.Counter(pool.map(lambda _: ask(url + "/predict", body)[0], range(int(arguments[0]))))
        print(" ".join(f"{status}:{count}" for status, count in sorted(counts.items())))


main()
