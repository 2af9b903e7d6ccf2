//! Calls that memory-service does not make.

/// Methods of a service that answer UNIMPLEMENTED.
macro_rules! unserved {
    ($($method:ident($request:ty) -> $response:ty;)*) => {
        $(
            fn $method<'service, 'future>(
                &'service self,
                _: tonic::Request<$request>,
            ) -> std::pin::Pin<Box<
                dyn Future<Output = Result<tonic::Response<$response>, tonic::Status>>
                    + Send
                    + 'future,
            >>
            where
                'service: 'future,
                Self: 'future,
            {
                Box::pin(std::future::ready(Err($crate::refusal::unknown(stringify!($method)))))
            }
        )*
    };
}

pub(crate) use unserved;
