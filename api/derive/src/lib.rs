//! `#[derive(Data)]` and `#[derive(Key)]` for the records of a program.

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{DeriveInput, Fields, GenericParam, Generics, Ident, Index, parse_macro_input, parse_quote};

/// Lets a struct or enum be a record: its fields must be `Data` themselves. Fields are encoded in their order, the variant
/// of an enum as its number.
#[proc_macro_derive(Data)]
pub fn derive_data(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    shapes(&input).map_or_else(|error| error.to_compile_error(), |shapes| data(&input, &shapes)).into()
}

/// Lets a struct or enum be a key: its fields must be `Key` themselves, and the type `Data`, `Clone` and `Eq`.
#[proc_macro_derive(Key)]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    shapes(&input).map_or_else(|error| error.to_compile_error(), |shapes| key(&input, &shapes)).into()
}

/// A struct, or one variant of an enum.
struct Shape {
    /// `Self` or `Self::Variant`.
    path: Tokens,
    /// Names of the fields; numbers for tuples.
    members: Vec<Tokens>,
    types: Vec<syn::Type>,
    /// Number of the variant; `None` for a struct.
    variant: Option<u32>,
}

fn shapes(input: &DeriveInput) -> syn::Result<Vec<Shape>> {
    match &input.data {
        syn::Data::Struct(data) => Ok(vec![shape(quote!(Self), &data.fields, None)]),
        syn::Data::Enum(data) => Ok((0u32..)
            .zip(&data.variants)
            .map(|(number, variant)| {
                let name = &variant.ident;
                shape(quote!(Self::#name), &variant.fields, Some(number))
            })
            .collect()),
        syn::Data::Union(_) => Err(syn::Error::new_spanned(&input.ident, "a union cannot be a record")),
    }
}

fn shape(path: Tokens, fields: &Fields, variant: Option<u32>) -> Shape {
    let members = fields.iter().enumerate().map(|(number, field)| match &field.ident {
        Some(name) => quote!(#name),
        None => {
            let number = Index::from(number);
            quote!(#number)
        }
    });
    Shape { path, members: members.collect(), types: fields.iter().map(|field| field.ty.clone()).collect(), variant }
}

impl Shape {
    fn bindings(&self) -> Vec<Ident> {
        (0..self.members.len()).map(|number| format_ident!("field_{number}")).collect()
    }

    /// The pattern that binds the fields.
    fn pattern(&self) -> Tokens {
        let (path, members, bindings) = (&self.path, &self.members, self.bindings());
        quote!(#path { #(#members: #bindings),* })
    }
}

fn bounded(generics: &Generics, bound: &Tokens) -> Generics {
    let mut generics = generics.clone();
    for parameter in &mut generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(#bound));
        }
    }
    generics
}

fn data(input: &DeriveInput, shapes: &[Shape]) -> Tokens {
    let (name, text) = (&input.ident, input.ident.to_string());
    let generics = bounded(&input.generics, &quote!(::flink::Data));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let (encode, heap, decode) =
        (shapes.iter().map(encode_arm), shapes.iter().map(heap_arm), decode_body(shapes, &text));
    let types = shapes.iter().flat_map(|shape| &shape.types);
    let nothing = shapes.is_empty().then(|| quote!(_ => {}));
    let zero = shapes.is_empty().then(|| quote!(_ => 0));
    quote! {
        #[automatically_derived]
        impl #impl_generics ::flink::Data for #name #type_generics #where_clause {
            fn heap_bytes(&self) -> usize {
                match self { #(#heap)* #zero }
            }

            #[inline]
            fn encode(&self, out: &mut ::std::vec::Vec<u8>) {
                match self { #(#encode)* #nothing }
            }

            #[inline]
            fn decode(input: &mut &[u8]) -> ::std::result::Result<Self, ::flink::DecodeError> {
                #decode
            }

            fn type_name() -> ::std::string::String {
                let fields: &[::std::string::String] = &[#(<#types as ::flink::Data>::type_name()),*];
                ::std::format!("{}{{{}}}", #text, fields.join(", "))
            }
        }
    }
}

fn encode_arm(shape: &Shape) -> Tokens {
    let (pattern, bindings) = (shape.pattern(), shape.bindings());
    let number = shape.variant.map(|number| quote!(::flink::Data::encode(&#number, out);));
    quote!(#pattern => { #number #(::flink::Data::encode(#bindings, out);)* })
}

fn heap_arm(shape: &Shape) -> Tokens {
    let (pattern, bindings) = (shape.pattern(), shape.bindings());
    quote!(#pattern => 0 #(+ ::flink::Data::heap_bytes(#bindings))*,)
}

fn decode_body(shapes: &[Shape], name: &str) -> Tokens {
    let build = |shape: &Shape| {
        let (path, members) = (&shape.path, &shape.members);
        quote!(#path { #(#members: ::flink::Data::decode(input)?),* })
    };
    if let [shape @ Shape { variant: None, .. }] = shapes {
        let value = build(shape);
        return quote!(::std::result::Result::Ok(#value));
    }
    let arms = shapes.iter().map(|shape| {
        let (number, value) = (shape.variant, build(shape));
        quote!(#number => ::std::result::Result::Ok(#value),)
    });
    quote! {
        match <u32 as ::flink::Data>::decode(input)? {
            #(#arms)*
            other => ::std::result::Result::Err(::flink::DecodeError(
                ::std::format!("{} has no variant {}", #name, other).into(),
            )),
        }
    }
}

fn key(input: &DeriveInput, shapes: &[Shape]) -> Tokens {
    let name = &input.ident;
    let generics = bounded(&input.generics, &quote!(::flink::Key));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let arms = shapes.iter().map(|shape| {
        let (pattern, bindings) = (shape.pattern(), shape.bindings());
        let number = shape.variant.map(|number| quote!(::flink::Key::hash_key(&#number, hasher);));
        quote!(#pattern => { #number #(::flink::Key::hash_key(#bindings, hasher);)* })
    });
    let nothing = shapes.is_empty().then(|| quote!(_ => {}));
    quote! {
        #[automatically_derived]
        impl #impl_generics ::flink::Key for #name #type_generics #where_clause {
            #[inline]
            fn hash_key(&self, hasher: &mut ::flink::KeyHasher) {
                match self { #(#arms)* #nothing }
            }
        }
    }
}
