//! PostgreSQL's functions that read and write the values of a type. Clients ask for them to tell kinds
//! of types apart: an array's are `array_in`, `array_recv`, ….

use super::names::{element_of, internal_name};
use super::oid;

/// What one of a type's functions does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Input,
    Output,
    Receive,
    Send,
}

const ALL: [Io; 4] = [Io::Input, Io::Output, Io::Receive, Io::Send];

/// OID and name of a function; the type is one that it is for.
#[derive(Clone, Debug)]
pub struct IoFunction {
    pub oid: u32,
    pub name: String,
    pub io: Io,
    pub ty: u32,
}

/// A type and the OIDs of its functions: input, output, receive, send. 0 is none.
const FUNCTIONS: &[(u32, [u32; 4])] = &[
    (16, [1242, 1243, 2436, 2437]),
    (17, [1244, 31, 2412, 2413]),
    (18, [1245, 33, 2434, 2435]),
    (19, [34, 35, 2422, 2423]),
    (20, [460, 461, 2408, 2409]),
    (21, [38, 39, 2404, 2405]),
    (22, [40, 41, 2410, 2411]),
    (23, [42, 43, 2406, 2407]),
    (24, [44, 45, 2444, 2445]),
    (25, [46, 47, 2414, 2415]),
    (26, [1798, 1799, 2418, 2419]),
    (28, [50, 51, 2440, 2441]),
    (30, [54, 55, 2420, 2421]),
    (114, [321, 322, 323, 324]),
    (194, [195, 196, 197, 198]),
    (700, [200, 201, 2424, 2425]),
    (701, [214, 215, 2426, 2427]),
    (705, [109, 110, 2416, 2417]),
    (1033, [1031, 1032, 0, 0]),
    (1042, [1044, 1045, 2430, 2431]),
    (1043, [1046, 1047, 2432, 2433]),
    (1082, [1084, 1085, 2468, 2469]),
    (1083, [1143, 1144, 2470, 2471]),
    (1114, [1312, 1313, 2474, 2475]),
    (1184, [1150, 1151, 2476, 2477]),
    (1186, [1160, 1161, 2478, 2479]),
    (1700, [1701, 1702, 2460, 2461]),
    (2202, [2212, 2213, 2446, 2447]),
    (2203, [2214, 2215, 2448, 2449]),
    (2204, [2216, 2217, 2450, 2451]),
    (2205, [2218, 2219, 2452, 2453]),
    (2206, [2220, 2221, 2454, 2455]),
    (2249, [2290, 2291, 2402, 2403]),
    (2278, [2298, 2299, 3120, 3121]),
    (2950, [2952, 2953, 2961, 2962]),
    (3802, [3806, 3804, 3805, 3803]),
    (4089, [4084, 4085, 4087, 4088]),
    (4096, [4098, 4092, 4094, 4095]),
    (4191, [4193, 4194, 4196, 4197]),
];

/// Those of all arrays.
const ARRAY: [u32; 4] = [750, 751, 2400, 2401];

/// The OIDs of a type's functions, in the order of [`Io`].
pub fn oids_of(ty: u32) -> [u32; 4] {
    let vector = matches!(ty, oid::INT2VECTOR | oid::OIDVECTOR);
    if element_of(ty).is_some() && !vector {
        return ARRAY;
    }
    let found = FUNCTIONS.iter().find(|(known, _)| *known == ty);
    found.map_or([0; 4], |(_, oids)| *oids)
}

/// All of them.
pub fn all() -> impl Iterator<Item = IoFunction> {
    let arrays = functions(oid::TEXT_ARRAY, ARRAY);
    let others = FUNCTIONS
        .iter()
        .flat_map(|(ty, oids)| functions(*ty, *oids));
    arrays.chain(others)
}

fn functions(ty: u32, oids: [u32; 4]) -> impl Iterator<Item = IoFunction> {
    let named = ALL.into_iter().zip(oids).filter(|(_, oid)| *oid != 0);
    named.map(move |(io, oid)| IoFunction {
        oid,
        name: name(ty, io),
        io,
        ty,
    })
}

fn name(ty: u32, io: Io) -> String {
    let kind = match io {
        Io::Input => "in",
        Io::Output => "out",
        Io::Receive => "recv",
        Io::Send => "send",
    };
    let base = match ty {
        oid::TEXT_ARRAY => "array".to_owned(),
        other => internal_name(other).unwrap_or_default(),
    };
    // Newer types have an underscore in the names of their functions.
    let apart = matches!(
        ty,
        oid::TEXT_ARRAY
            | oid::JSON
            | oid::JSONB
            | oid::PG_NODE_TREE
            | oid::DATE
            | oid::TIME
            | oid::TIMESTAMP
            | oid::TIMESTAMPTZ
            | oid::INTERVAL
            | oid::NUMERIC
            | oid::RECORD
            | oid::VOID
            | oid::UUID
    );
    match apart {
        true => format!("{base}_{kind}"),
        false => format!("{base}{kind}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_in_postgresql() {
        let named = |oid: u32| all().find(|it| it.oid == oid).unwrap().name;
        let some = [42, 750, 2400, 1701, 3802 + 3, 321, 33, 2953, 1045];
        let names = some.map(named);
        let wanted = [
            "int4in",
            "array_in",
            "array_recv",
            "numeric_in",
            "jsonb_recv",
            "json_in",
            "charout",
            "uuid_out",
            "bpcharout",
        ];
        assert_eq!(names, wanted);
        assert_eq!(oids_of(oid::INT4), [42, 43, 2406, 2407]);
        assert_eq!(oids_of(oid::TEXT_ARRAY), ARRAY);
    }
}
