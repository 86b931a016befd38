"""Deploys a program as a Lambda function to an endpoint that imitates AWS, and prints what it is reached by as JSON.

    deploy.py ENDPOINT PROGRAM STATE_KEY

The program becomes two functions: one that answers in one piece, behind a function URL and behind an HTTP API with a JWT
authorizer, and one that streams, behind a function URL of its own. The line has the URLs, the API's host, a token that
the authorizer takes, one without the API's scope, and the sizes of the deployment package.
"""

import base64
import io
import json
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config

REGION = "eu-central-1"
SCOPE = "mcp/use"
# What AWS takes in a request (documented as 50 MB and 250 MB), and what a function may be when it is unpacked.
ZIPPED, UNZIPPED = 50 * 1024 * 1024, 250 * 1024 * 1024


def package(program):
    """A zip with the program as `bootstrap`, without its symbols: they are two thirds of a debug build."""
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, program], check=True)
        bootstrap = Path(stripped.name).read_bytes()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, bootstrap, zipfile.ZIP_DEFLATED, compresslevel=1)
    sizes = {
        "built": Path(program).stat().st_size,
        "stripped": len(bootstrap),
        "zipped": len(zipped.getvalue()),
    }
    if sizes["zipped"] > ZIPPED or sizes["stripped"] > UNZIPPED:
        sys.exit(f"deploy.py: {program} is larger than AWS takes: {sizes}")
    return zipped.getvalue(), sizes


def function(client, name, code, response, mode, key):
    """A function with a URL of its own that anybody may call."""
    made = client.create_function(
        FunctionName=name,
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role="arn:aws:iam::000000000000:role/skydock",
        Code={"ZipFile": code},
        Timeout=30,
        MemorySize=256,
        Environment={"Variables": {"SKYDOCK_LAMBDA_RESPONSE": response, "SKYDOCK_STATE_KEY": key}},
    )
    url = client.create_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode=mode)
    client.add_permission(
        FunctionName=name,
        StatementId="anybody",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    return made["FunctionArn"], url["FunctionUrl"]


def pool(client):
    """A user pool in which a machine gets tokens: its id, and a client's id and secret."""
    made = client.create_user_pool(PoolName="skydock")["UserPool"]["Id"]
    scopes = [{"ScopeName": name, "ScopeDescription": name} for name in ("use", "look")]
    client.create_resource_server(UserPoolId=made, Identifier="mcp", Name="mcp", Scopes=scopes)
    machine = client.create_user_pool_client(
        UserPoolId=made,
        ClientName="machine",
        GenerateSecret=True,
        AllowedOAuthFlows=["client_credentials"],
        AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthScopes=[SCOPE, "mcp/look"],
    )["UserPoolClient"]
    return made, machine["ClientId"], machine["ClientSecret"]


def token(endpoint, client, secret, scope):
    form = urllib.parse.urlencode({"grant_type": "client_credentials", "scope": scope}).encode()
    basic = base64.b64encode(f"{client}:{secret}".encode()).decode()
    request = urllib.request.Request(endpoint + "/oauth2/token", form, {"Authorization": "Basic " + basic})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["access_token"]


def http_api(client, arn, issuer, audience):
    """An HTTP API that gives everything to the function, with the JWT authorizer before it. Its endpoint."""
    api = client.create_api(Name="skydock", ProtocolType="HTTP")
    integration = client.create_integration(
        ApiId=api["ApiId"],
        IntegrationType="AWS_PROXY",
        IntegrationMethod="POST",
        IntegrationUri=arn,
        PayloadFormatVersion="2.0",
    )
    authorizer = client.create_authorizer(
        ApiId=api["ApiId"],
        Name="cognito",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer, "Audience": [audience]},
    )
    client.create_route(
        ApiId=api["ApiId"],
        RouteKey="$default",
        Target="integrations/" + integration["IntegrationId"],
        AuthorizationType="JWT",
        AuthorizerId=authorizer["AuthorizerId"],
        AuthorizationScopes=[SCOPE],
    )
    client.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
    return api["ApiEndpoint"]


def main(endpoint, program, key):
    def client(service):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )

    code, sizes = package(program)
    functions = client("lambda")
    arn, buffered = function(functions, "buffered", code, "buffered", "BUFFERED", key)
    _, streamed = function(functions, "streamed", code, "streamed", "RESPONSE_STREAM", key)
    for name in ("buffered", "streamed"):
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    made, machine, secret = pool(client("cognito-idp"))
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{made}"
    api = http_api(client("apigatewayv2"), arn, issuer, machine)
    print(
        json.dumps(
            {
                "functionUrl": buffered,
                "streamedUrl": streamed,
                "apiHost": urllib.parse.urlsplit(api).netloc,
                "token": token(endpoint, machine, secret, SCOPE),
                "unscoped": token(endpoint, machine, secret, "mcp/look"),
                "sizes": sizes,
            }
        )
    )


main(*sys.argv[1:])
